// Verifies the model of each reply. Servers may not state it, and one URL may hide replicas with
// different weights. So one input of each request is a canary: a text whose vector is known. Its
// place among the texts is random, so that a reply with vectors in another order does not pass. One
// process answers one request, so a correct canary verifies the whole reply. Where each reply names
// the model with its revision, that name is sufficient and no canary is sent.

import type { ModelReference } from '@reembed/protocol'
import { cosine } from '@reembed/shared'
import type { Endpoint, RequestOptions } from './client/endpoint.ts'
import type { Answered, Outcome } from './client/outcome.ts'
import { referenceTexts } from './identity.ts'
import { requestLimits } from './pack.ts'

export interface CanaryRequest extends RequestOptions {
  readonly rows: readonly number[]
  /** A row of `vectors` reserved for the canary while this request is in flight. */
  readonly canaryRow: number
}

export interface Canary {
  /** Canaries per request: 0 or 1. */
  readonly inputs: number
  /**
   * Like `Endpoint.request`, but limits exclude the canary, and a reply that is not verified is
   * `wrong_model`.
   */
  request(texts: readonly string[], vectors: Float32Array, request: CanaryRequest): Promise<Outcome>
}

/** Excludes the long reference text: it would cost more than the documents. */
const MAX_CHARACTERS = 100
/**
 * The noise is measured with few samples, so only a distance well outside it shows another model.
 */
const RADIUS_FACTOR = 4
const MIN_DISTANCE = 1e-4

/**
 * @param reference reference vectors of the run's model; without them no canary is sent
 * @param random returns numbers from 0 to 1, for the place of the canary in a request
 */
export function createCanary(
  endpoint: Endpoint,
  reference: ModelReference | undefined,
  random: () => number = Math.random,
): Canary {
  const { dimensions, maxClientBatchSize } = endpoint.info
  const known = reference ? canariesOf(reference) : []
  const tolerance = Math.max(RADIUS_FACTOR * (reference?.radius ?? 0), MIN_DISTANCE)
  let turn = 0

  /** Replies of the other route may not name the model. */
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
        // The route changed during the request to one whose replies contain no model name: the next
        // attempt has a canary.
        if (outcome.kind === 'ok' && rides())
          return { kind: 'corrupt', message: 'a reply contains no model name' }
        return outcome
      }
      const place = Math.min(texts.length, Math.floor(random() * (texts.length + 1)))
      const outcome = await endpoint.request(texts.toSpliced(place, 0, canary.text), vectors, {
        rows: rows.toSpliced(place, 0, canaryRow),
        canary: place,
        ...options,
      })
      // The server was restarted with a lower batch limit. No request may be sent without its
      // canary.
      if (outcome.kind === 'batch_limit') return withoutCanary(outcome)
      if (outcome.kind !== 'ok') return outcome
      if (outcome.badRows.includes(place)) {
        return {
          kind: 'corrupt',
          message: 'the canary, which the model could embed before, has no valid vector',
        }
      }
      const likeness = cosine(
        vectors.subarray(canaryRow * dimensions, (canaryRow + 1) * dimensions),
        canary.vector,
      )
      if (1 - likeness <= tolerance)
        return { ...withoutPlace(outcome, place), canaryCharacters: canary.text.length }
      const message = `a reply comes from other weights than those of ${reference?.model.id}@${reference?.model.revision ?? 'unstated'}: cosine ${likeness.toFixed(5)} for a text whose vector is known`
      if (outcome.replica !== undefined) endpoint.quarantine?.(outcome.replica, message)
      return { kind: 'wrong_model', message }
    },
  }
}

/** The outcome of the request's texts without the canary at `place`. */
const withoutPlace = (outcome: Answered, place: number): Answered => ({
  ...outcome,
  badRows: outcome.badRows.map(row => (row > place ? row - 1 : row)),
  textTokens: outcome.textTokens?.toSpliced(place, 1),
})

/** Whether each reply of the endpoint names model and revision. */
const isNamed = ({ route, servedModel, info: { revision } }: Endpoint): boolean =>
  route === '/v1/embeddings' && revision !== null && servedModel?.endsWith(`@${revision}`) === true

/** The size of a request to an endpoint, for quotes. */
export interface RequestShape {
  readonly inputs: number
  readonly tokens: number
  /** One of these is sent with each request; empty where replies name model and revision. */
  readonly canaries: readonly string[]
}

/** What a request to this endpoint carries: its number of inputs, and the canaries among them. */
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
          'the endpoint was restarted and accepts one text per request, so its model must be verified again',
      }

function canariesOf({ texts, vectors }: ModelReference): { text: string; vector: Float32Array }[] {
  return texts.flatMap((text, i) => {
    const vector = vectors[i]
    return vector && text.length <= MAX_CHARACTERS ? [{ text, vector: Float32Array.from(vector) }] : []
  })
}
