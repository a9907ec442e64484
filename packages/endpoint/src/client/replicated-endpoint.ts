// The replicas that a run may use, as one endpoint. Each request goes to the one that the balancer chooses. What
// failed at one replica and was not the request's fault goes to another at once, where that one is well: the endpoint
// is there, only a replica is not, and neither limit nor patience need to know.

import type { Balancer } from './balancer.ts'
import { type Endpoint, embedBy } from './endpoint.ts'
import type { EndpointInfo } from './info.ts'
import type { Failure, Outcome } from './outcome.ts'
import type { ReplicaPool } from './replica-pool.ts'
import type { EndpointTarget } from './targets.ts'

export interface ReplicatedEndpointOptions {
  /** For messages. */
  readonly url: string
  readonly pool: ReplicaPool<unknown>
  readonly balancer: Balancer<EndpointTarget>
  /** Told of a replica that did not answer. */
  readonly onReplicaFailed: () => void
}

/** One replica, and one more. */
const MOST_TRIES = 2

/** To be used once `pool` is ready. Disposal is the pool's own. */
export function createReplicatedEndpoint({
  url,
  pool,
  balancer,
  onReplicaFailed,
}: ReplicatedEndpointOptions): Endpoint {
  let lastInfo: EndpointInfo | undefined

  const request: Endpoint['request'] = async (texts, vectors, options) => {
    let failure: Failure = pool.noReplicaFailure()
    const tried = new Set<EndpointTarget>()
    const may = (target: EndpointTarget): boolean =>
      pool.stateOf(target) === 'in_use' &&
      !tried.has(target) &&
      (tried.size === 0 || balancer.isHealthy(target))
    while (tried.size < MOST_TRIES) {
      const turn = balancer.assign(texts.length, may)
      if (turn === undefined) break
      const { replica } = turn
      tried.add(replica)
      let outcome: Outcome | undefined
      try {
        outcome = await pool.borrow(replica, one => one.request(texts, vectors, options))
      } finally {
        turn.end(outcome === undefined ? 'neutral' : endingOf(outcome))
      }
      if (outcome.kind === 'ok') return { ...outcome, replica: replica.label }
      if (isUnusable(outcome)) pool.quarantine(replica, outcome)
      // Its time is up, whoever is asked next.
      if (endingOf(outcome) === 'neutral' || outcome.kind === 'timeout') return outcome
      failure = outcome
      onReplicaFailed()
    }
    return failure
  }

  /** What any of them takes. */
  function info(): EndpointInfo {
    const all = pool.endpoints.map(endpoint => endpoint.info)
    const [first = lastInfo] = all
    if (first === undefined) throw new Error('an endpoint is used before a replica is ready')
    const least = (key: 'maxClientBatchSize' | 'maxConcurrentRequests' | 'payloadLimit'): number =>
      Math.min(first[key], ...all.map(one => one[key]))
    lastInfo = {
      ...first,
      maxClientBatchSize: least('maxClientBatchSize'),
      maxConcurrentRequests: least('maxConcurrentRequests'),
      payloadLimit: least('payloadLimit'),
    }
    return lastInfo
  }

  /** What all in use have in common, or `otherwise`. */
  function common<T>(of: (endpoint: Endpoint) => T, otherwise: T): T {
    const [first, ...others] = pool.endpoints.map(of)
    return first !== undefined && others.every(other => other === first) ? first : otherwise
  }

  return {
    url,
    get info() {
      return info()
    },
    // A canary rides unless each of them names its model in its replies.
    get servedModel() {
      return common(({ servedModel }) => servedModel, null)
    },
    get route() {
      return common(({ route }) => route, '/embed')
    },
    get replicas() {
      return pool.inUse.map(({ label }) => label)
    },
    quarantine(replica, message) {
      const target = pool.inUse.find(({ label }) => label === replica)
      if (target) pool.quarantine(target, { kind: 'wrong_model', message })
    },
    request,
    embed: (texts, { signal } = {}) =>
      embedBy(request, texts, { url, dimensions: info().dimensions, signal }),
    appliedPrompt: async options => (await pool.endpoints[0]?.appliedPrompt(options)) ?? null,
    countTokens: async (texts, options) => (await pool.endpoints[0]?.countTokens(texts, options)) ?? null,
    [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
  }
}

/** What an outcome says about the replica. */
function endingOf({ kind }: Outcome): 'answered' | 'failed' | 'neutral' {
  switch (kind) {
    case 'ok':
      return 'answered'
    // Of load, or of the request.
    case 'overload':
    case 'batch_limit':
    case 'too_large':
    case 'too_long':
    case 'bad_input':
      return 'neutral'
    default:
      return 'failed'
  }
}

/** No endpoint for this run, and not soon again. */
const isUnusable = ({ kind }: Failure): boolean =>
  kind === 'wrong_model' ||
  kind === 'route_missing' ||
  kind === 'redirect' ||
  kind === 'access_denied' ||
  kind === 'paused' ||
  kind === 'unsupported'
