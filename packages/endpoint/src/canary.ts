// Which model made a reply? Servers may not say, and one URL may hide replicas with different
// weights. So a text whose vector is known rides as the last input of every request. One request is
// answered by one process: where the canary's vector is right, the whole reply is of that model.
// Where the server's own name for its model states the revision and stands in every reply, that
// name vouches instead, and no canary is paid for.

import { cosine } from '@reembed/shared'
import type { Endpoint, RequestOptions } from './client/endpoint.ts'
import type { Outcome } from './client/outcome.ts'
import { type ModelReference, referenceTexts } from './identity.ts'
import { requestLimits } from './pack.ts'

export interface CanaryRequest extends RequestOptions {
  readonly rows: readonly number[]
  /** A row of `vectors` that is free for the canary while this request is under way. */
  readonly canaryRow: number
}

export interface Canary {
  /** Inputs that ride along with each request: 0 or 1. */
  readonly inputs: number
  /**
   * Like `Endpoint.request`, limits without the canary, and `wrong_model` where the reply may be of
   * another model.
   */
  request(texts: readonly string[], vectors: Float32Array, request: CanaryRequest): Promise<Outcome>
}

/** The long reference text stays at home: it would cost more than the documents. */
const MAX_CHARACTERS = 100
/** Noise is measured with few samples: only what lies well outside is another model. */
const RADIUS_FACTOR = 4
const MIN_DISTANCE = 1e-4
/** For references that were kept before noise was measured. */
const UNKNOWN_RADIUS = 2.5e-4

/** @param reference vectors that the run's model gives; without them nothing can ride along. */
export function createCanary(endpoint: Endpoint, reference: ModelReference | undefined): Canary {
  const { dimensions, maxClientBatchSize } = endpoint.info
  const known = reference ? canariesOf(reference) : []
  const tolerance = Math.max(RADIUS_FACTOR * (reference?.radius ?? UNKNOWN_RADIUS), MIN_DISTANCE)
  let turn = 0

  /** By another route than its own, a reply may not say its model's name. */
  const rides = (otherRoute = false): boolean =>
    known.length > 0 && maxClientBatchSize > 1 && (otherRoute || !isNamed(endpoint))

  return {
    get inputs() {
      return rides() ? 1 : 0
    },
    async request(texts, vectors, { rows, canaryRow, ...options }) {
      const canary = rides(options.otherRoute) ? known[turn++ % known.length] : undefined
      if (canary === undefined) {
        const outcome = await endpoint.request(texts, vectors, { rows, ...options })
        // The route changed under way, to one without a name in its replies: the next try has a
        // canary.
        if (outcome.kind === 'ok' && rides()) return { kind: 'corrupt', message: 'a reply names no model' }
        return outcome
      }
      const outcome = await endpoint.request([...texts, canary.text], vectors, {
        rows: [...rows, canaryRow],
        ...options,
      })
      // The server was started again and takes less: without its canary no request may go.
      if (outcome.kind === 'batch_limit') return withoutCanary(outcome)
      if (outcome.kind !== 'ok') return outcome
      if (outcome.badRows.includes(texts.length)) {
        return { kind: 'corrupt', message: 'a text that it could embed before came back without a vector' }
      }
      const likeness = cosine(
        vectors.subarray(canaryRow * dimensions, (canaryRow + 1) * dimensions),
        canary.vector,
      )
      if (1 - likeness <= tolerance) return outcome
      const message = `a reply came from other weights than those of ${reference?.model.id}@${reference?.model.revision ?? 'unstated'}: cosine ${likeness.toFixed(5)} for a text whose vector is known`
      if (outcome.replica !== undefined) endpoint.quarantine?.(outcome.replica, message)
      return { kind: 'wrong_model', message }
    },
  }
}

/** Whether every reply of the endpoint names model and revision. */
const isNamed = ({ route, servedModel, info: { revision } }: Endpoint): boolean =>
  route === '/v1/embeddings' && revision !== null && servedModel?.endsWith(`@${revision}`) === true

/** What a request to this endpoint holds, for who wants to know what a run will send. */
export interface RequestShape {
  readonly inputs: number
  readonly tokens: number
  /** One of these rides in each request; none where replies vouch by name. */
  readonly canaries: readonly string[]
}

export function requestShape(endpoint: Endpoint): RequestShape {
  const { inputs, tokens } = requestLimits(endpoint.info)
  const rides = endpoint.info.maxClientBatchSize > 1 && !isNamed(endpoint)
  const canaries = rides ? referenceTexts.filter(text => text.length <= MAX_CHARACTERS) : []
  return { inputs: rides ? Math.max(1, inputs - 1) : inputs, tokens, canaries }
}

const withoutCanary = (refused: Extract<Outcome, { kind: 'batch_limit' }>): Outcome =>
  refused.limit > 1
    ? { ...refused, limit: refused.limit - 1 }
    : {
        kind: 'wrong_model',
        message:
          'it was started again and takes one text a request: which model answers is to be proved anew',
      }

function canariesOf({ texts, vectors }: ModelReference): { text: string; vector: Float32Array }[] {
  return texts.flatMap((text, i) => {
    const vector = vectors[i]
    return vector && text.length <= MAX_CHARACTERS ? [{ text, vector: Float32Array.from(vector) }] : []
  })
}
