// The worker's endpoint: opened when the first job needs it, shared by all jobs, checked to be the model of each run
// before the run's first document is sent.

import { type Board, getJson, messageOf, modelKey, ReembedError, type SourceRecord } from '@reembed/shared'
import { type Clock, systemClock } from './embed/clock.ts'
import { createVectorMemory } from './embed/memory.ts'
import { type EmbeddedWindow, embed } from './embed.ts'
import { BLOCKED_MS, type Endpoint, type EndpointOptions, openEndpoint } from './endpoint/index.ts'
import {
  assertSameModel,
  checkReference,
  type ModelReference,
  measureReference,
  settleReference,
} from './identity.ts'
import { createLimiter, type Probe } from './limiter.ts'
import type { WorkerMetrics } from './metrics.ts'
import type { OpenRun } from './runs.ts'

export interface Embedder extends AsyncDisposable {
  /** How the endpoint does, in a word or two: 'not used yet', 'ok', 'unreachable: ...'. */
  readonly state: string
  /** @throws ReembedError MODEL_MISMATCH when the endpoint serves another model than the run is for. */
  embed(
    run: OpenRun,
    records: AsyncIterable<SourceRecord>,
    signal: AbortSignal,
    onAnswered?: (texts: number) => void,
  ): AsyncGenerator<EmbeddedWindow, void, undefined>
}

interface Connection {
  readonly endpoint: Endpoint
  /** Runs whose model this endpoint was proved to serve, with what their replies are held to. */
  readonly proved: Map<string, Promise<ModelReference>>
  users: number
  stale: boolean
}

/** What looks on, and what the simulation puts in the place of network, time and chance. */
export interface EmbedderParts {
  readonly metrics?: Pick<WorkerMetrics, 'observed' | 'watchLimiters'> | undefined
  readonly open?: typeof openEndpoint
  readonly probe?: Probe | undefined
  /** Where the fleet's limit is kept, and this worker's name there; alone if not given. */
  readonly board?: Board | undefined
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

export function createEmbedder(
  url: string,
  options: EndpointOptions = {},
  { open = openEndpoint, clock = systemClock, random = Math.random, metrics, ...fleet }: EmbedderParts = {},
): Embedder {
  // Runs that cut long texts and runs that reject them need different routes of the server.
  const connections = new Map<boolean, Promise<Connection>>()
  /** Runs for which the endpoint has the wrong model. Their jobs go back at once and leave the worker to others. */
  const blocked = new Map<string, { readonly error: ReembedError; readonly untilMs: number }>()
  const memory = createVectorMemory()
  let trouble = ''
  let permits = (): number => UNKNOWN_PERMITS * UNSEEN_REPLICAS
  const limiter = createLimiter({ ...fleet, max: () => PERMIT_SHARE * permits(), clock, random })
  metrics?.watchLimiters(() => limiter)

  /** Not tied to the job that asks first: others wait for the same opening. */
  function connect(truncate: boolean): Promise<Connection> {
    const known = connections.get(truncate)
    if (known) return known
    const fresh = open(url, { ...options, truncate }).then(opened => {
      const endpoint = metrics?.observed(opened) ?? opened
      permits = () => endpoint.info.maxConcurrentRequests * (endpoint.replicas?.length ?? UNSEEN_REPLICAS)
      return { endpoint, proved: new Map(), users: 0, stale: false }
    })
    connections.set(truncate, fresh)
    fresh.catch(() => connections.delete(truncate))
    return fresh
  }

  /** What was settled about the server no longer holds: the next job opens it anew. Others may still be using it. */
  async function retire(truncate: boolean, connection: Connection): Promise<void> {
    connection.stale = true
    if ((await connections.get(truncate)) !== connection) return
    connections.delete(truncate)
  }

  async function leave(connection: Connection): Promise<void> {
    connection.users -= 1
    if (connection.stale && connection.users === 0) await connection.endpoint[Symbol.asyncDispose]()
  }

  /** Name, dimensions and pooling as planned, and the vectors that this output keeps for the model. */
  async function prove(
    { store, plan }: OpenRun,
    endpoint: Endpoint,
    again: () => Promise<Endpoint>,
  ): Promise<ModelReference> {
    const { model, cutFrom = model.dimensions } = plan.recipe
    const expected = { ...model, dimensions: cutFrom }
    // A server that states no revision is held to the reference vectors alone.
    const info = { ...endpoint.info, revision: endpoint.info.revision ?? expected.revision }
    assertSameModel(expected, { url: endpoint.url, info })
    const reference = await getJson(store, modelKey(expected.id, expected.revision))
    // Planning leaves one there; a store that was filled by other means gets it now.
    if (reference === undefined) return settleReference(store, { ...endpoint, info }, again)
    checkReference(await measureReference(endpoint, { rounds: 0 }), reference as ModelReference, endpoint.url)
    return reference as ModelReference
  }

  function proveOnce(run: OpenRun, name: string, { endpoint, proved }: Connection): Promise<ModelReference> {
    const known = proved.get(name)
    if (known) return known
    const { truncate } = run.plan.recipe
    const fresh = prove(run, endpoint, () => open(url, { ...options, truncate }))
    proved.set(name, fresh)
    fresh.catch(() => proved.delete(name))
    return fresh
  }

  return {
    get state() {
      const { state } = limiter
      return trouble !== '' && state.startsWith('ok') ? trouble : state
    },
    async *embed(run, records, signal, onAnswered) {
      const { prompt, truncate } = run.plan.recipe
      const name = `${run.store.url} ${run.plan.run}`
      const block = blocked.get(name)
      if (block && clock.now() < block.untilMs) throw block.error
      let connection: Connection | undefined
      try {
        // Not before the endpoint is there: a fleet that starts must not knock all at once.
        if (!connections.has(truncate)) (await limiter.acquire(1, signal)).ignore()
        connection = await connect(truncate)
        connection.users += 1
        const reference = await proveOnce(run, name, connection)
        blocked.delete(name)
        const { endpoint } = connection
        for await (const window of embed(records, {
          endpoint,
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
          trouble = `blocked: ${messageOf(error)}`
          blocked.set(name, { error, untilMs: clock.now() + BLOCKED_MS / 2 })
          if (connection) await retire(truncate, connection)
        }
        throw error
      } finally {
        if (connection) await leave(connection)
      }
    },
    async [Symbol.asyncDispose]() {
      await limiter[Symbol.asyncDispose]()
      for (const connection of await Promise.allSettled(connections.values())) {
        if (connection.status === 'fulfilled') await connection.value.endpoint[Symbol.asyncDispose]()
      }
    },
  }
}
