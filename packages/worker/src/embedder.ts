// The worker's endpoint: opened when the first job needs it, shared by all jobs, checked to be the model of each run
// before the run's first document is sent.

import { getJson, messageOf, modelKey, ReembedError, type SourceRecord } from '@reembed/shared'
import { type EmbeddedWindow, embed } from './embed.ts'
import { type Endpoint, type EndpointOptions, openEndpoint } from './endpoint/index.ts'
import { assertSameModel, checkReference, type ModelReference, measureReference } from './identity.ts'
import { createLimiter, type Limiter } from './limiter.ts'
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
  ): AsyncGenerator<EmbeddedWindow, void, undefined>
}

interface Connection {
  readonly endpoint: Endpoint
  readonly limiter: Limiter
  /** Runs whose model this endpoint was proved to serve. */
  readonly proved: Map<string, Promise<void>>
}

/** Share of the server's permits that we use: other clients and health checks need some too. */
const PERMIT_SHARE = 0.8
/** For servers that do not say how many inputs they take at once. */
const UNKNOWN_PERMITS = 512

export function createEmbedder(
  url: string,
  options: EndpointOptions = {},
  metrics?: Pick<WorkerMetrics, 'observed' | 'watchLimiters'>,
): Embedder {
  // Runs that cut long texts and runs that reject them need different routes of the server.
  const connections = new Map<boolean, Promise<Connection>>()
  const limiters = new Map<boolean, Limiter>()
  let state = 'not used yet'
  metrics?.watchLimiters(() => sumOf(limiters.values()))

  /** Not tied to the job that asks first: others wait for the same opening. */
  function connect(truncate: boolean): Promise<Connection> {
    const known = connections.get(truncate)
    if (known) return known
    const fresh = openEndpoint(url, { ...options, truncate }).then(opened => {
      const endpoint = metrics?.observed(opened) ?? opened
      const max = Math.floor(PERMIT_SHARE * (endpoint.info.maxConcurrentRequests ?? UNKNOWN_PERMITS))
      const limiter = createLimiter({ max: Math.max(1, max) })
      limiters.set(truncate, limiter)
      return { endpoint, limiter, proved: new Map() }
    })
    connections.set(truncate, fresh)
    fresh.catch(() => connections.delete(truncate))
    return fresh
  }

  async function forget(truncate: boolean): Promise<void> {
    const connection = await connections.get(truncate)
    connections.delete(truncate)
    limiters.delete(truncate)
    await connection?.endpoint[Symbol.asyncDispose]()
  }

  /** Name, dimensions and pooling as planned, and the vectors that this output keeps for the model. */
  async function prove({ store, plan }: OpenRun, endpoint: Endpoint): Promise<void> {
    const { model, cutFrom = model.dimensions } = plan.recipe
    const expected = { ...model, dimensions: cutFrom }
    // A server that states no revision is held to the reference vectors alone.
    const info = { ...endpoint.info, revision: endpoint.info.revision ?? expected.revision }
    assertSameModel(expected, { url: endpoint.url, info })
    const key = modelKey(expected.id, expected.revision)
    const reference = (await getJson(store, key)) as ModelReference | undefined
    if (reference) checkReference(await measureReference(endpoint), reference, endpoint.url)
  }

  function proveOnce(run: OpenRun, { endpoint, proved }: Connection): Promise<void> {
    const name = `${run.store.url} ${run.plan.run}`
    const known = proved.get(name)
    if (known) return known
    const fresh = prove(run, endpoint)
    proved.set(name, fresh)
    fresh.catch(() => proved.delete(name))
    return fresh
  }

  return {
    get state() {
      return state
    },
    async *embed(run, records, signal) {
      const { prompt, truncate } = run.plan.recipe
      try {
        const connection = await connect(truncate)
        await proveOnce(run, connection)
        const { endpoint, limiter } = connection
        for await (const window of embed(records, { endpoint, limiter, prompt, signal })) {
          state = 'ok'
          yield window
        }
      } catch (error) {
        if (error instanceof ReembedError && !signal.aborted) state = messageOf(error)
        // What was settled about this server no longer holds: the next job looks again.
        if (error instanceof ReembedError && error.code === 'MODEL_MISMATCH') await forget(truncate)
        throw error
      }
    },
    async [Symbol.asyncDispose]() {
      for (const connection of await Promise.allSettled(connections.values())) {
        if (connection.status === 'fulfilled') await connection.value.endpoint[Symbol.asyncDispose]()
      }
    },
  }
}

function sumOf(limiters: Iterable<Limiter>): { limit: number; inFlight: number } {
  const sum = { limit: 0, inFlight: 0 }
  for (const { limit, inFlight } of limiters) {
    sum.limit += limit
    sum.inFlight += inFlight
  }
  return sum
}
