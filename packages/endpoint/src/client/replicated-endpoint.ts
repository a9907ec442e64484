// The replicas of a run as one endpoint. The balancer chooses the replica of each request. A
// failure that the request did not cause is retried at once on another healthy replica: the
// endpoint as a whole is available, so the failure must count neither against the limit nor as
// unavailability.

import type { Balancer } from './balancer.ts'
import { type Endpoint, embedBy } from './endpoint.ts'
import type { EndpointInfo } from './info.ts'
import type { Failure, Outcome } from './outcome.ts'
import type { ReplicaPool } from './replica-pool.ts'
import type { EndpointTarget } from './targets.ts'

export interface ReplicatedEndpointOptions {
  /** Name of the endpoint in messages. */
  readonly url: string
  readonly pool: ReplicaPool<unknown>
  readonly balancer: Balancer<EndpointTarget>
  /** Called when a replica failed. */
  readonly onReplicaFailed: () => void
}

/** The first replica and one more. */
const MOST_TRIES = 2

/** Usable once `pool` is ready. Its disposal disposes the pool. */
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
    const isEligible = (target: EndpointTarget): boolean =>
      pool.stateOf(target) === 'in_use' &&
      !tried.has(target) &&
      (tried.size === 0 || balancer.isHealthy(target))
    while (tried.size < MOST_TRIES) {
      const assignment = balancer.assign(texts.length, isEligible)
      if (assignment === undefined) break
      const { replica } = assignment
      tried.add(replica)
      let outcome: Outcome | undefined
      try {
        outcome = await pool.borrow(replica, one => one.request(texts, vectors, options))
      } finally {
        assignment.end(outcome === undefined ? 'neutral' : endingOf(outcome))
      }
      if (outcome.kind === 'ok') return { ...outcome, replica: replica.label }
      if (isUnusable(outcome)) pool.quarantine(replica, outcome)
      // A request that timed out has no time left for another replica.
      if (endingOf(outcome) === 'neutral' || outcome.kind === 'timeout') return outcome
      failure = outcome
      onReplicaFailed()
    }
    return failure
  }

  /** Limits that each replica in use accepts. */
  function info(): EndpointInfo {
    const all = pool.endpoints.map(endpoint => endpoint.info)
    const [first = lastInfo] = all
    if (first === undefined) throw new Error('the endpoint is used before a replica is ready')
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

  /** The value that all replicas in use share, or `otherwise`. */
  function common<T>(of: (endpoint: Endpoint) => T, otherwise: T): T {
    const [first, ...others] = pool.endpoints.map(of)
    return first !== undefined && others.every(other => other === first) ? first : otherwise
  }

  return {
    url,
    get info() {
      return info()
    },
    // Requests carry a canary unless each replica names its model in its replies.
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
    restate: async () => (await pool.endpoints[0]?.restate()) ?? info(),
    appliedPrompt: async options => (await pool.endpoints[0]?.appliedPrompt(options)) ?? null,
    countTokens: async (texts, options) => (await pool.endpoints[0]?.countTokens(texts, options)) ?? null,
    [Symbol.asyncDispose]: () => pool[Symbol.asyncDispose](),
  }
}

/** The effect of an outcome on the replica's health. */
function endingOf({ kind }: Outcome): 'answered' | 'failed' | 'neutral' {
  switch (kind) {
    case 'ok':
      return 'answered'
    // Caused by load or by the request.
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

/** Whether the replica cannot serve this run until an operator acts. */
const isUnusable = ({ kind }: Failure): boolean =>
  kind === 'wrong_model' ||
  kind === 'route_missing' ||
  kind === 'redirect' ||
  kind === 'access_denied' ||
  kind === 'paused' ||
  kind === 'unsupported'
