// The worker's endpoint: opened when the first job needs it, shared by all jobs, checked to be the
// model of each run before the run's first document is sent.

import {
  type Clock,
  connectToReplicas,
  connectToUrl,
  createLimiter,
  type Endpoint,
  type EndpointHandle,
  type EndpointOptions,
  type EndpointProbe,
  failureBehind,
  initialLimit,
  isUnavailable,
  MODEL_RECHECK_MS,
  type openEndpoint,
  parseTargets,
  type ReplicaEvent,
  systemClock,
  tracedEndpoint,
  unavailableReason,
} from '@reembed/endpoint'
import type { SourceRecord } from '@reembed/protocol'
import type { LimitCoordinator } from '@reembed/queue'
import { messageOf, ReembedError } from '@reembed/shared'
import { createVectorMemory } from './embed/memory.ts'
import { type EmbeddedWindow, embed } from './embed.ts'
import type { WorkerMetrics } from './metrics.ts'
import type { OpenRun } from './run-cache.ts'

export interface Embedder extends AsyncDisposable {
  /** How the endpoint does, in a word or two: 'not used yet', 'ok', 'unreachable: ...'. */
  readonly state: string
  /**
   * @throws ReembedError MODEL_MISMATCH when the endpoint serves another model than the run is for.
   */
  embed(
    run: OpenRun,
    records: AsyncIterable<SourceRecord>,
    signal: AbortSignal,
    onAnswered?: (texts: number) => void,
    /** Puts something between this job and the endpoint. */
    metered?: (endpoint: Endpoint) => Endpoint,
  ): AsyncGenerator<EmbeddedWindow, void, undefined>
}

/** What looks on, and what the simulation puts in the place of network, time and chance. */
export interface EmbedderDependencies {
  readonly metrics?: Pick<WorkerMetrics, 'instrument' | 'watchLimiter' | 'watchReplicas'> | undefined
  readonly open?: typeof openEndpoint
  readonly onReplica?: ((event: ReplicaEvent) => void) | undefined
  readonly probe?: EndpointProbe | undefined
  /** Where the fleet's limit is kept, and this worker's name there; alone if not given. */
  readonly coordinator?: LimitCoordinator | undefined
  readonly worker?: string | undefined
  readonly clock?: Clock
  readonly random?: () => number
}

/** Share of the server's permits that we use: other clients and health checks need some too. */
const PERMIT_SHARE = 0.8
/** For servers that do not say how many inputs they take at once. */
const UNKNOWN_PERMITS = 512
/** Behind one URL there may be many replicas; queue time and refusals tell how much they take. */
const UNSEEN_REPLICAS = 64

/** @throws ReembedError USAGE for a `url` that is no endpoint. */
export function createEmbedder(
  url: string,
  options: EndpointOptions = {},
  {
    open,
    onReplica,
    clock = systemClock,
    random = Math.random,
    metrics,
    ...fleet
  }: EmbedderDependencies = {},
): Embedder {
  const addresses = parseTargets(url, options)
  let used: Endpoint | undefined
  const instrument = (opened: Endpoint): Endpoint => tracedEndpoint(metrics?.instrument(opened) ?? opened)
  const connections = addresses.isReplicated
    ? connectToReplicas(addresses, { options, instrument, onReplica, clock, random })
    : connectToUrl({ url, options, open, instrument })
  /**
   * Runs for which the endpoint has the wrong model. Their jobs go back at once and leave the
   * worker to others.
   */
  const blocked = new Map<string, { readonly error: ReembedError; readonly untilMs: number }>()
  const memory = createVectorMemory()
  let trouble = ''
  const limiter = createLimiter({ ...fleet, max: maxInputs, initial: initialInputs, clock, random })
  metrics?.watchLimiter(() => limiter)
  metrics?.watchReplicas(() => connections.replicas)

  return {
    get state() {
      const { state } = limiter
      return trouble !== '' && state.startsWith('ok') ? trouble : state + replicasState()
    },
    async *embed(run, records, signal, onAnswered, metered = endpoint => endpoint) {
      const { prompt } = run.plan.recipe
      const name = `${run.store.url} ${run.plan.run}`
      const block = blocked.get(name)
      if (block && clock.now() < block.untilMs) throw block.error
      let use: EndpointHandle | undefined
      let foreign = false
      try {
        use = await useWhenAvailable(run, name, signal)
        const { endpoint, reference } = use
        used = endpoint
        blocked.delete(name)
        for await (const window of embed(records, {
          endpoint: metered(endpoint),
          limiter,
          reference,
          memory,
          prompt,
          clock,
          random,
          onAnswered,
          signal,
        })) {
          trouble = ''
          yield window
        }
      } catch (error) {
        if (error instanceof ReembedError && !signal.aborted) trouble = messageOf(error)
        if (error instanceof ReembedError && error.code === 'MODEL_MISMATCH') {
          foreign = true
          trouble = `blocked: ${messageOf(error)}`
          blocked.set(name, { error, untilMs: clock.now() + MODEL_RECHECK_MS / 2 })
        }
        throw error
      } finally {
        await use?.release(foreign)
      }
    },
    async [Symbol.asyncDispose]() {
      await limiter[Symbol.asyncDispose]()
      await connections[Symbol.asyncDispose]()
    },
  }

  /** Inputs that a replica may be sent at once. */
  function permits(): number {
    return PERMIT_SHARE * (used?.info.maxConcurrentRequests ?? UNKNOWN_PERMITS)
  }

  function maxInputs(): number {
    return permits() * (used?.replicas?.length ?? UNSEEN_REPLICAS)
  }

  function initialInputs(): number {
    return Math.min(initialLimit(used?.info), permits()) * (used?.replicas?.length ?? 1)
  }

  /** Not before the endpoint is there: a fleet that starts must not knock all at once. */
  async function useWhenAvailable(run: OpenRun, name: string, signal: AbortSignal): Promise<EndpointHandle> {
    if (connections.has(run.plan.recipe.truncate)) return connections.use(run, name)
    using permit = await limiter.acquire(1, signal)
    try {
      return await connections.use(run, name)
    } catch (error) {
      const failure = failureBehind(error)
      if (failure && isUnavailable(failure)) permit.dropped(unavailableReason(failure))
      throw error
    }
  }

  /** ', 1 of 3 replicas quarantined', while not all are in use. */
  function replicasState(): string {
    const { in_use = 0, ...others } = connections.replicas ?? {}
    const all = Object.values(others).reduce((sum, count) => sum + count, in_use)
    return Object.entries(others)
      .flatMap(([state, count]) => (count > 0 ? `, ${count} of ${all} replicas ${state}` : []))
      .join('')
  }
}
