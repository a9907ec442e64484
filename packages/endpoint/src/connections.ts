// How the requests of a run get to its endpoint: by a connection to one URL, which jobs share, or
// by replicas that are addressed one by one. Either way the model is proved before the run's first
// document is sent.

import type { Plan } from '@reembed/protocol'
import { modelKey } from '@reembed/shared'
import { getJson, type Store } from '@reembed/store'
import { type Endpoint, type EndpointOptions, openTarget } from './client/endpoint.ts'
import { openEndpoint } from './client/open.ts'
import type { ReplicaEvent } from './client/replica-event.ts'
import { createReplicas, type ReplicaCounts } from './client/replicas.ts'
import type { EndpointTarget, EndpointTargets } from './client/targets.ts'
import type { Clock } from './clock.ts'
import {
  assertSameModel,
  checkReference,
  computeReference,
  ensureReference,
  type ModelReference,
} from './identity.ts'

/**
 * What a connection needs to know of a run: its recipe, and the store that keeps its model's
 * reference vectors.
 */
export interface RunModel {
  readonly plan: Plan
  readonly store: Store
}

export interface Connections extends AsyncDisposable {
  /** Whether anything was opened that a run with this way of truncating can use. */
  has(truncate: boolean): boolean
  /** @throws ReembedError MODEL_MISMATCH when nobody there has the run's model. */
  use(run: RunModel, name: string): Promise<EndpointHandle>
  /** Where they are addressed one by one. */
  readonly replicas?: ReplicaCounts | undefined
}

/** An endpoint while a job uses it. */
export interface EndpointHandle {
  readonly endpoint: Endpoint
  /** What its replies are held to. */
  readonly reference: ModelReference
  /**
   * `modelMismatch` when its replies were not of the run's model: whoever comes next opens it anew.
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
  /** Runs whose model this endpoint was proved to serve. */
  readonly verified: Map<string, Promise<ModelReference>>
  users: number
  stale: boolean
}

/** Connections to one URL. What stands behind it shows in replies alone. */
export function connectToUrl({
  url,
  options,
  open = openEndpoint,
  instrument,
}: ConnectionsOptions): Connections {
  // Runs that cut long texts and runs that reject them need different routes of the server.
  const connections = new Map<boolean, Promise<Connection>>()

  /** Not tied to the job that asks first: others wait for the same opening. */
  function connect(truncate: boolean): Promise<Connection> {
    const known = connections.get(truncate)
    if (known) return known
    const fresh = open(url, { ...options, truncate }).then(endpoint => ({
      endpoint: instrument(endpoint),
      verified: new Map(),
      users: 0,
      stale: false,
    }))
    connections.set(truncate, fresh)
    fresh.catch(() => connections.delete(truncate))
    return fresh
  }

  /** What was settled about the server no longer holds. Others may still be using it. */
  async function retire(truncate: boolean, connection: Connection): Promise<void> {
    connection.stale = true
    if ((await connections.get(truncate)) === connection) connections.delete(truncate)
  }

  function verifyOnce(
    run: RunModel,
    name: string,
    { endpoint, verified }: Connection,
  ): Promise<ModelReference> {
    const known = verified.get(name)
    if (known) return known
    const { truncate } = run.plan.recipe
    const fresh = verifyModel(run, endpoint, () => open(url, { ...options, truncate }))
    verified.set(name, fresh)
    fresh.catch(() => verified.delete(name))
    return fresh
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
        return { endpoint: connection.endpoint, reference: await verifyOnce(run, name, connection), release }
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
 * Connections to replicas; each is proved for each run, and one that has another model is left out
 * alone.
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
      return replicas.counts
    },
    has: truncate => known.has(truncate),
    async use(run, name) {
      const { truncate } = run.plan.recipe
      const { endpoint, proof } = await replicas.serve(name, truncate, (one, target, signal) =>
        verifyModel(run, one, () => opened(target, truncate, signal), signal),
      )
      known.add(truncate)
      return { endpoint, reference: proof, release: async () => {} }
    },
    [Symbol.asyncDispose]: () => replicas[Symbol.asyncDispose](),
  }
}

/**
 * Name, dimensions and pooling as planned, and the vectors that this output keeps for the model.
 */
async function verifyModel(
  { store, plan }: RunModel,
  endpoint: Endpoint,
  reopen: () => Promise<Endpoint>,
  signal?: AbortSignal,
): Promise<ModelReference> {
  const { model, nativeDimensions = model.dimensions } = plan.recipe
  const expected = { ...model, dimensions: nativeDimensions }
  // A server that states no revision is held to the reference vectors alone.
  const stated = (one: Endpoint): Endpoint =>
    withInfo(one, { ...one.info, revision: one.info.revision ?? expected.revision })
  assertSameModel(expected, stated(endpoint))
  const reference = await getJson(store, modelKey(expected.id, expected.revision))
  // Planning leaves one there; a store that was filled by other means gets it now.
  if (reference === undefined)
    return ensureReference(store, stated(endpoint), async () => stated(await reopen()))
  const measured = await computeReference(endpoint, { rounds: 0, signal })
  checkReference(measured, reference as ModelReference, endpoint.url)
  return reference as ModelReference
}

const isMismatch = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'MODEL_MISMATCH'

/** Not a spread copy: an endpoint may be a wrapper that inherits from the one it watches. */
const withInfo = (endpoint: Endpoint, info: Endpoint['info']): Endpoint =>
  Object.assign(Object.create(endpoint) as Endpoint, { info })
