// The replicas that a run may use, as one endpoint. Each request goes to the one that the balancer chooses. What
// failed at one replica and was not the request's fault goes to another at once, where that one is well: the endpoint
// is there, only a replica is not, and neither limit nor patience need to know.

import type { Place } from './addresses.ts'
import type { Balancer } from './balancer.ts'
import { type Endpoint, embedBy } from './endpoint.ts'
import type { EndpointInfo } from './info.ts'
import type { Failure, Outcome } from './outcome.ts'
import type { Seats } from './seats.ts'

export interface ServingOptions {
  /** For messages. */
  readonly url: string
  readonly seats: Seats<unknown>
  readonly balancer: Balancer<Place>
  /** Told of a replica that did not answer. */
  readonly lost: () => void
}

/** One replica, and one more. */
const MOST_TRIES = 2

/** To be used once `seats` is ready. Disposal is the seats' own. */
export function createServing({ url, seats, balancer, lost }: ServingOptions): Endpoint {
  let lastInfo: EndpointInfo | undefined

  const request: Endpoint['request'] = async (texts, vectors, options) => {
    let failure: Failure = seats.nobody()
    const tried = new Set<Place>()
    const may = (place: Place): boolean =>
      seats.stateOf(place) === 'in_use' && !tried.has(place) && (tried.size === 0 || balancer.isWell(place))
    while (tried.size < MOST_TRIES) {
      const turn = balancer.next(texts.length, may)
      if (turn === undefined) break
      const { replica } = turn
      tried.add(replica)
      let outcome: Outcome | undefined
      try {
        outcome = await seats.borrow(replica, one => one.request(texts, vectors, options))
      } finally {
        turn.ended(outcome === undefined ? 'neither' : endingOf(outcome))
      }
      if (outcome.kind === 'ok') return { ...outcome, replica: replica.shown }
      if (isUnfit(outcome)) seats.quarantine(replica, outcome)
      // Its time is up, whoever is asked next.
      if (endingOf(outcome) === 'neither' || outcome.kind === 'timeout') return outcome
      failure = outcome
      lost()
    }
    return failure
  }

  /** What any of them takes. */
  function info(): EndpointInfo {
    const all = seats.endpoints.map(endpoint => endpoint.info)
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
    const [first, ...others] = seats.endpoints.map(of)
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
      return seats.inUse.map(({ shown }) => shown)
    },
    quarantine(replica, message) {
      const place = seats.inUse.find(({ shown }) => shown === replica)
      if (place) seats.quarantine(place, { kind: 'wrong_model', message })
    },
    request,
    embed: (texts, { signal } = {}) =>
      embedBy(request, texts, { url, dimensions: info().dimensions, signal }),
    appliedPrompt: async options => (await seats.endpoints[0]?.appliedPrompt(options)) ?? null,
    countTokens: async (texts, options) => (await seats.endpoints[0]?.countTokens(texts, options)) ?? null,
    [Symbol.asyncDispose]: () => seats[Symbol.asyncDispose](),
  }
}

/** What an outcome says about the replica. */
function endingOf({ kind }: Outcome): 'answered' | 'failed' | 'neither' {
  switch (kind) {
    case 'ok':
      return 'answered'
    // Of load, or of the request.
    case 'overload':
    case 'batch_limit':
    case 'too_large':
    case 'too_long':
    case 'bad_input':
      return 'neither'
    default:
      return 'failed'
  }
}

/** No endpoint for this run, and not soon again. */
const isUnfit = ({ kind }: Failure): boolean =>
  kind === 'wrong_model' ||
  kind === 'route_missing' ||
  kind === 'redirect' ||
  kind === 'denied' ||
  kind === 'paused' ||
  kind === 'unfit'
