// How the requests of a run get to its endpoint: by a connection to one URL, which jobs share, or by replicas that
// are addressed one by one. Either way the model is proved before the run's first document is sent.

import type { Plan } from '@reembed/protocol'
import { modelKey } from '@reembed/shared'
import { getJson, type Store } from '@reembed/store'
import type { Addresses, Place } from './client/addresses.ts'
import { type Endpoint, type EndpointOptions, openPlace } from './client/endpoint.ts'
import { openEndpoint } from './client/open.ts'
import type { ReplicaEvent } from './client/replica-event.ts'
import { createReplicas, type ReplicaCounts } from './client/replicas.ts'
import type { Clock } from './clock.ts'
import {
  assertSameModel,
  checkReference,
  type ModelReference,
  measureReference,
  settleReference,
} from './identity.ts'

/** What a connection needs to know of a run: its recipe, and the store that keeps its model's reference vectors. */
export interface RunModel {
  readonly plan: Plan
  readonly store: Store
}

export interface Connections extends AsyncDisposable {
  /** Whether anything was opened that a run with this way of truncating can use. */
  has(truncate: boolean): boolean
  /** @throws ReembedError MODEL_MISMATCH when nobody there has the run's model. */
  use(run: RunModel, name: string): Promise<Use>
  /** Where they are addressed one by one. */
  readonly replicas?: ReplicaCounts | undefined
}

/** An endpoint while a job uses it. */
export interface Use {
  readonly endpoint: Endpoint
  /** What its replies are held to. */
  readonly reference: ModelReference
  /** `foreign` when its replies were not of the run's model: whoever comes next opens it anew. */
  end(foreign: boolean): Promise<void>
}

export interface ConnectionsOptions {
  readonly url: string
  readonly options: EndpointOptions
  readonly open?: typeof openEndpoint | undefined
  readonly observed: (endpoint: Endpoint) => Endpoint
}

interface Connection {
  readonly endpoint: Endpoint
  /** Runs whose model this endpoint was proved to serve. */
  readonly proved: Map<string, Promise<ModelReference>>
  users: number
  stale: boolean
}

/** Connections to one URL. What stands behind it shows in replies alone. */
export function connectToUrl({
  url,
  options,
  open = openEndpoint,
  observed,
}: ConnectionsOptions): Connections {
  // Runs that cut long texts and runs that reject them need different routes of the server.
  const connections = new Map<boolean, Promise<Connection>>()

  /** Not tied to the job that asks first: others wait for the same opening. */
  function connect(truncate: boolean): Promise<Connection> {
    const known = connections.get(truncate)
    if (known) return known
    const fresh = open(url, { ...options, truncate }).then(endpoint => ({
      endpoint: observed(endpoint),
      proved: new Map(),
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

  function proveOnce(run: RunModel, name: string, { endpoint, proved }: Connection): Promise<ModelReference> {
    const known = proved.get(name)
    if (known) return known
    const { truncate } = run.plan.recipe
    const fresh = prove(run, endpoint, () => open(url, { ...options, truncate }))
    proved.set(name, fresh)
    fresh.catch(() => proved.delete(name))
    return fresh
  }

  return {
    has: truncate => connections.has(truncate),
    async use(run, name) {
      const { truncate } = run.plan.recipe
      const connection = await connect(truncate)
      connection.users += 1
      const end = async (foreign: boolean): Promise<void> => {
        if (foreign) await retire(truncate, connection)
        connection.users -= 1
        if (connection.stale && connection.users === 0) await connection.endpoint[Symbol.asyncDispose]()
      }
      try {
        return { endpoint: connection.endpoint, reference: await proveOnce(run, name, connection), end }
      } catch (error) {
        await end(isMismatch(error))
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

/** Connections to replicas; each is proved for each run, and one that has another model is left out alone. */
export function connectToReplicas(
  addresses: Addresses,
  {
    options,
    observed,
    ...parts
  }: Pick<ConnectionsOptions, 'options' | 'observed'> & {
    readonly onReplica?: ((event: ReplicaEvent) => void) | undefined
    readonly clock: Clock
    readonly random: () => number
  },
): Connections {
  const opened = async (place: Place, truncate: boolean, signal: AbortSignal): Promise<Endpoint> =>
    observed(await openPlace(place, { ...options, truncate, signal }))
  const replicas = createReplicas(addresses, { ...parts, onEvent: parts.onReplica, open: opened })
  const known = new Set<boolean>()
  return {
    get replicas() {
      return replicas.counts
    },
    has: truncate => known.has(truncate),
    async use(run, name) {
      const { truncate } = run.plan.recipe
      const { endpoint, proof } = await replicas.serve(name, truncate, (one, place, signal) =>
        prove(run, one, () => opened(place, truncate, signal), signal),
      )
      known.add(truncate)
      return { endpoint, reference: proof, end: async () => {} }
    },
    [Symbol.asyncDispose]: () => replicas[Symbol.asyncDispose](),
  }
}

/** Name, dimensions and pooling as planned, and the vectors that this output keeps for the model. */
async function prove(
  { store, plan }: RunModel,
  endpoint: Endpoint,
  again: () => Promise<Endpoint>,
  signal?: AbortSignal,
): Promise<ModelReference> {
  const { model, cutFrom = model.dimensions } = plan.recipe
  const expected = { ...model, dimensions: cutFrom }
  // A server that states no revision is held to the reference vectors alone.
  const stated = (one: Endpoint): Endpoint =>
    withInfo(one, { ...one.info, revision: one.info.revision ?? expected.revision })
  assertSameModel(expected, stated(endpoint))
  const reference = await getJson(store, modelKey(expected.id, expected.revision))
  // Planning leaves one there; a store that was filled by other means gets it now.
  if (reference === undefined)
    return settleReference(store, stated(endpoint), async () => stated(await again()))
  const measured = await measureReference(endpoint, { rounds: 0, signal })
  checkReference(measured, reference as ModelReference, endpoint.url)
  return reference as ModelReference
}

const isMismatch = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'MODEL_MISMATCH'

/** Not a spread copy: an endpoint may be a wrapper that inherits from the one it watches. */
const withInfo = (endpoint: Endpoint, info: Endpoint['info']): Endpoint =>
  Object.assign(Object.create(endpoint) as Endpoint, { info })
