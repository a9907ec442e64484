// The worker's endpoint: opened for the first job, shared by all jobs, and verified to serve the
// model of each run before the first document of that run is sent.

import {
  connectToReplicas,
  connectToUrl,
  createRequestSizes,
  type Endpoint,
  type EndpointHandle,
  type EndpointOptions,
  failureBehind,
  isUnavailable,
  MODEL_RECHECK_MS,
  type openEndpoint,
  parseTargets,
  REPLICA_STATES,
  type ReplicaEvent,
  type ReplicaStatus,
  tracedEndpoint,
  unavailableReason,
} from '@reembed/endpoint'
import { createLimiter, type EndpointProbe, initialLimit, type Limiter } from '@reembed/limiter'
import type { SourceRecord } from '@reembed/protocol'
import type { LimitCoordinator } from '@reembed/queue'
import { type Clock, messageOf, ReembedError, systemClock } from '@reembed/shared'
import type { ActivityMeter } from './activity.ts'
import { createVectorMemory } from './embed/memory.ts'
import { createSuspects } from './embed/suspects.ts'
import { type EmbeddedWindow, type EmbedOptions, embed } from './embed.ts'
import type { WorkerMetrics } from './metrics.ts'
import type { OpenRun } from './run-cache.ts'

export interface Embedder extends AsyncDisposable {
  /** A short description: 'not used yet', 'ok, limit 480', 'warming, 41 s'. */
  readonly state: string
  /** The limit of this worker, and its inputs in flight. */
  readonly limiter: Pick<Limiter, 'limit' | 'inFlight'>
  /** The replicas, if the endpoint addresses them individually. */
  readonly replicas: readonly ReplicaStatus[] | undefined
  /** Why the endpoint cannot be reached, and for how long; undefined while it answers or starts. */
  readonly unreachable: { readonly reason: string; readonly ms: number } | undefined
  /**
   * @throws ReembedError MODEL_MISMATCH when the endpoint serves another model than the run
   * requires
   */
  embed(
    run: OpenRun,
    records: AsyncIterable<SourceRecord>,
    options: EmbedderOptions,
  ): AsyncGenerator<EmbeddedWindow, void, undefined>
}

export interface EmbedderOptions extends Pick<EmbedOptions, 'meter' | 'stop' | 'timer' | 'onAnswered'> {
  readonly signal: AbortSignal
  /** Wraps the endpoint for this job. */
  readonly metered?: ((endpoint: Endpoint) => Endpoint) | undefined
}

/** Observers, and the network, time and randomness that the simulation replaces. */
export interface EmbedderDependencies {
  readonly metrics?: Pick<WorkerMetrics, 'instrument' | 'watchLimiter' | 'watchReplicas'> | undefined
  readonly activity?: Pick<ActivityMeter, 'instrument'> | undefined
  readonly open?: typeof openEndpoint
  readonly onReplica?: ((event: ReplicaEvent) => void) | undefined
  readonly probe?: EndpointProbe | undefined
  /** Coordinator of the fleet's limit, and this worker's name there; in memory if not given. */
  readonly coordinator?: LimitCoordinator | undefined
  readonly worker?: string | undefined
  readonly clock?: Clock
  readonly random?: () => number
}

/** Share of the server's permits for this fleet: other clients and health checks need the rest. */
const PERMIT_SHARE = 0.8
/** Used for servers that state no maximum of concurrent inputs. */
const UNKNOWN_PERMITS = 512
/**
 * One URL may hide many replicas; queue times and refusals show their capacity, below this bound.
 */
const UNSEEN_REPLICAS = 64

/** Creates the embedder; opens no connection. @throws ReembedError USAGE for an invalid `url` */
export function createEmbedder(
  url: string,
  options: EndpointOptions = {},
  {
    open,
    onReplica,
    clock = systemClock,
    random = Math.random,
    metrics,
    activity,
    ...fleet
  }: EmbedderDependencies = {},
): Embedder {
  const addresses = parseTargets(url, options)
  let used: Endpoint | undefined
  const instrument = (opened: Endpoint): Endpoint => {
    const counted = metrics?.instrument(opened) ?? opened
    return tracedEndpoint(activity?.instrument(counted) ?? counted)
  }
  const connections = addresses.isReplicated
    ? connectToReplicas(addresses, { options, instrument, onReplica, clock, random })
    : connectToUrl({ url, options, open, instrument })
  /**
   * Runs for which the endpoint has the wrong model. Their jobs are delayed at once, so the worker
   * serves other runs.
   */
  const blocked = new Map<string, { readonly error: ReembedError; readonly untilMs: number }>()
  const memory = createVectorMemory()
  const suspects = createSuspects()
  const sizes = createRequestSizes()
  let trouble = ''
  const limiter = createLimiter({ ...fleet, max: maxInputs, initial: initialInputs, clock, random })
  metrics?.watchLimiter(() => limiter)
  metrics?.watchReplicas(() => connections.replicas)

  return {
    get state() {
      const { state } = limiter
      return trouble !== '' && state.startsWith('ok') ? trouble : state + replicasState()
    },
    limiter,
    get replicas() {
      return connections.replicas
    },
    get unreachable() {
      const { unavailable } = limiter
      return unavailable?.reason === 'warming' ? undefined : unavailable
    },
    async *embed(run, records, { signal, stop, meter, timer, onAnswered, metered = endpoint => endpoint }) {
      const { prompt, dtype, nativeDimensions } = run.plan.recipe
      const name = `${run.store.url} ${run.plan.run}`
      const block = blocked.get(name)
      if (block && clock.now() < block.untilMs) throw block.error
      let use: EndpointHandle | undefined
      let foreign = false
      try {
        const opening = useWhenAvailable(run, name, stop ? AbortSignal.any([signal, stop.begun]) : signal)
        use = await (timer?.during('endpoint', opening) ?? opening)
        const { endpoint, reference } = use
        used = endpoint
        blocked.delete(name)
        for await (const window of embed(records, {
          endpoint: metered(endpoint),
          limiter,
          reference,
          memory,
          suspects,
          sizes,
          prompt,
          // Vectors that are cut are normalised again, which needs float32.
          halfPrecision: dtype === 'float16' && nativeDimensions === undefined,
          meter,
          timer,
          clock,
          random,
          onAnswered,
          stop,
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

  /** Concurrent inputs per replica. */
  function permits(): number {
    return PERMIT_SHARE * (used?.info.maxConcurrentRequests ?? UNKNOWN_PERMITS)
  }

  function maxInputs(): number {
    return permits() * (used?.replicas?.length ?? UNSEEN_REPLICAS)
  }

  function initialInputs(): number {
    return Math.min(initialLimit(used?.info), permits()) * (used?.replicas?.length ?? 1)
  }

  /**
   * Waits for a permit before the first connection: a starting fleet must not open an unavailable
   * endpoint at once.
   */
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

  /** ', 1 of 3 replicas quarantined' while not all are in use. */
  function replicasState(): string {
    const all = connections.replicas ?? []
    return REPLICA_STATES.filter(state => state !== 'in_use')
      .map(state => ({ state, count: all.filter(replica => replica.state === state).length }))
      .flatMap(({ state, count }) => (count > 0 ? `, ${count} of ${all.length} replicas ${state}` : []))
      .join('')
  }
}
