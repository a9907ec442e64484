// The connections of a worker's jobs to the endpoint: to one URL, shared by all jobs, or to
// replicas addressed individually. Both verify the model before the first document of a run is
// sent.

import { type ModelReference, type Plan, readModelReference } from '@reembed/protocol'
import { type Clock, createMemo, type Memo } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { type Endpoint, type EndpointOptions, openTarget } from './client/endpoint.ts'
import { openEndpoint } from './client/open.ts'
import type { ReplicaEvent } from './client/replica-event.ts'
import { createReplicas, type ReplicaStatus } from './client/replicas.ts'
import type { EndpointTarget, EndpointTargets } from './client/targets.ts'
import { assertSameModel, checkReference, computeReference, ensureReference } from './identity.ts'

/**
 * The plan of a run, and the store with the reference vectors of its model.
 */
export interface RunModel {
  readonly plan: Plan
  readonly store: Store
}

export interface Connections extends AsyncDisposable {
  /** Whether a connection is open for runs with this value of `truncate`. */
  has(truncate: boolean): boolean
  /**
   * Opens and verifies the endpoint for a run. @throws ReembedError MODEL_MISMATCH when it serves
   * another model
   */
  use(run: RunModel, name: string): Promise<EndpointHandle>
  /** The replicas, if the endpoint addresses them individually. */
  readonly replicas?: readonly ReplicaStatus[] | undefined
}

/** An endpoint while a job uses it. */
export interface EndpointHandle {
  readonly endpoint: Endpoint
  /** The reference vectors that its replies must agree with. */
  readonly reference: ModelReference
  /**
   * Ends the use. `modelMismatch`: replies came from another model, so the next job opens the
   * endpoint again.
   */
  release(modelMismatch: boolean): Promise<void>
}

export interface ConnectionsOptions {
  readonly url: string
  readonly options: EndpointOptions
  readonly open?: typeof openEndpoint | undefined
  readonly instrument: (endpoint: Endpoint) => Endpoint
}

interface Connection {
  readonly endpoint: Endpoint
  /** Reference vectors by run, for runs whose model this endpoint was verified to serve. */
  readonly verified: Memo<string, ModelReference>
  users: number
  stale: boolean
}

/** Connections to one URL. Any number of servers may answer behind it. */
export function connectToUrl({
  url,
  options,
  open = openEndpoint,
  instrument,
}: ConnectionsOptions): Connections {
  // Runs that truncate long texts and runs that reject them need different routes of the server.
  const connections = new Map<boolean, Promise<Connection>>()

  /** Opening is not bound to the signal of the first job: other jobs wait for the same promise. */
  function connect(truncate: boolean): Promise<Connection> {
    const known = connections.get(truncate)
    if (known) return known
    const fresh = open(url, { ...options, truncate }).then(endpoint => ({
      endpoint: instrument(endpoint),
      verified: createMemo<string, ModelReference>(),
      users: 0,
      stale: false,
    }))
    connections.set(truncate, fresh)
    fresh.catch(() => connections.delete(truncate))
    return fresh
  }

  /**
   * Replaces a connection whose server has changed. Other jobs may still use it; the last one
   * closes it.
   */
  async function retire(truncate: boolean, connection: Connection): Promise<void> {
    connection.stale = true
    if ((await connections.get(truncate)) === connection) connections.delete(truncate)
  }

  return {
    has: truncate => connections.has(truncate),
    async use(run, name) {
      const { truncate } = run.plan.recipe
      const connection = await connect(truncate)
      connection.users += 1
      const release = async (modelMismatch: boolean): Promise<void> => {
        if (modelMismatch) await retire(truncate, connection)
        connection.users -= 1
        if (connection.stale && connection.users === 0) await connection.endpoint[Symbol.asyncDispose]()
      }
      try {
        const { endpoint, verified } = connection
        const reference = await verified.get(name, () => verifyModel(run, endpoint))
        return { endpoint, reference, release }
      } catch (error) {
        await release(isMismatch(error))
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

/**
 * Connections to replicas. Each replica is verified for each run; only those with another model are
 * excluded.
 */
export function connectToReplicas(
  addresses: EndpointTargets,
  {
    options,
    instrument,
    ...parts
  }: Pick<ConnectionsOptions, 'options' | 'instrument'> & {
    readonly onReplica?: ((event: ReplicaEvent) => void) | undefined
    readonly clock: Clock
    readonly random: () => number
  },
): Connections {
  const opened = async (target: EndpointTarget, truncate: boolean, signal: AbortSignal): Promise<Endpoint> =>
    instrument(await openTarget(target, { ...options, truncate, signal }))
  const replicas = createReplicas(addresses, { ...parts, onEvent: parts.onReplica, open: opened })
  const known = new Set<boolean>()
  return {
    get replicas() {
      return replicas.all
    },
    has: truncate => known.has(truncate),
    async use(run, name) {
      const { truncate } = run.plan.recipe
      const { endpoint, proof } = await replicas.serve(name, truncate, (one, _, signal) =>
        verifyModel(run, one, signal),
      )
      known.add(truncate)
      return { endpoint, reference: proof, release: async () => {} }
    },
    [Symbol.asyncDispose]: () => replicas[Symbol.asyncDispose](),
  }
}

/**
 * Compares name, dimensions and pooling with the plan, and vectors with the reference in the
 * output.
 */
async function verifyModel(
  { store, plan }: RunModel,
  endpoint: Endpoint,
  signal?: AbortSignal,
): Promise<ModelReference> {
  const { model, nativeDimensions = model.dimensions } = plan.recipe
  const expected = { ...model, dimensions: nativeDimensions }
  // A server that states no revision is verified by the reference vectors alone.
  const { info } = endpoint
  const stated = withInfo(endpoint, { ...info, revision: info.revision ?? expected.revision })
  assertSameModel(expected, stated)
  const reference = await readModelReference(store, expected)
  // Planning stores the reference; an output that was planned by other means gets it now.
  if (reference === undefined) return ensureReference(store, stated)
  const measured = await computeReference(endpoint, { rounds: 0, texts: reference.texts, signal })
  checkReference(measured, reference, endpoint.url)
  return reference
}

const isMismatch = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'MODEL_MISMATCH'

/**
 * Uses the prototype instead of a spread: an endpoint may be a wrapper that inherits its members.
 */
const withInfo = (endpoint: Endpoint, info: Endpoint['info']): Endpoint =>
  Object.create(endpoint, { info: { value: info, enumerable: true } })
