// Verifies that an endpoint serves the model of a run. Names do not suffice: the same name may get
// new weights, and on HF each model is called /repository. So the first run of a model stores the
// vectors of eight reference texts, and each later endpoint must return the same.

import {
  type ModelIdentity,
  type ModelReference,
  putModelReference,
  readModelReference,
} from '@reembed/protocol'
import { cosine, mapConcurrent, modelKey, ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { Endpoint } from './client/endpoint.ts'
import { isRefusal } from './client/failure-kinds.ts'
import { failureBehind, MODEL_RECHECK_MS } from './client/outcome.ts'
import { requestLimits } from './pack.ts'

/**
 * Short, non-Latin, code, numbers: a changed tokenizer or pooling changes the vector of at least
 * one.
 */
const SHORT_TEXTS: readonly string[] = [
  'cat',
  'The quick brown fox jumps over the lazy dog.',
  'Die Straße führt über den Fluß; größere Schiffe müssen draußen warten.',
  '東京は日本の首都であり、世界最大の都市圏の一つです。',
  'Привет, мир! Как дела? Спасибо, хорошо.',
  'العربية لغة يتحدث بها أكثر من أربعمائة مليون شخص.',
  'function add(a, b) { return a + b } // 3.14159 0x1F -42 1e-9',
]

/** Some 18 tokens each time. */
const longText = (times: number): string =>
  'An embedding maps a text to a point, so that texts with like meaning lie close together. '
    .repeat(times)
    .trim()

/** Lengths of the long text, the longest that the endpoint accepts is used. */
const LONG_TEXT_TIMES = [40, 20, 10, 5]

/** The reference texts of an endpoint that truncates long ones. */
export const referenceTexts: readonly string[] = [...SHORT_TEXTS, longText(40)]

/** A reference text above this length may be refused for its length. */
const MAX_SHORT_CHARACTERS = 100

/**
 * Minimum cosine between vectors of one model, computed in half precision and in batches with any
 * other texts.
 */
const MIN_REFERENCE_COSINE = 0.999

/** A larger distance is not noise: two models answer at one address. */
const MAX_RADIUS = 1e-3
const ROUNDS = 3
/**
 * An endpoint that takes longer for a request, the first and the second time, embeds the texts in
 * these requests only.
 */
const SLOW_MS = 300
/** Vectors above this cosine are equal. */
const SAME_COSINE = 1 - 1e-7
/** Fills the requests of reference texts up to the size of a request of documents. */
const FILLER = 'Filler that makes a request as full as the server allows.'

/** The identity of the model that an endpoint states. */
export function modelOf({ info }: Pick<Endpoint, 'info'>): ModelIdentity {
  const { modelId, revision, dimensions, pooling, normalized } = info
  return { id: modelId, revision, dimensions, pooling, normalized }
}

/**
 * Embeds the reference texts in one request, and then alone and in full requests, several times,
 * which measures the noise of the server and detects a second model at the same address. A slow
 * endpoint embeds them once, and the short ones in one full request, so that a plan waits for few
 * requests.
 * @throws ReembedError MODEL_MISMATCH when the vectors of one text differ by more than noise,
 *   ENDPOINT_UNSUPPORTED when different texts have the same vector
 */
export async function computeReference(
  endpoint: Endpoint,
  { rounds = ROUNDS, texts: stored, now = () => performance.now(), signal }: ReferenceOptions = {},
): Promise<ModelReference> {
  const texts = await acceptedTexts(endpoint, stored, signal)
  const { dimensions } = endpoint.info
  const { inputs } = requestLimits(endpoint.info)
  const seen = texts.map((): Float32Array[] => [])
  const embedded = async (sent: readonly string[], from: number, count: number): Promise<void> => {
    const vectors = await endpoint.embed(sent, { signal })
    for (let i = 0; i < count; i++) seen[from + i]?.push(vectors.slice(i * dimensions, (i + 1) * dimensions))
  }
  const together = Math.min(texts.length, inputs)
  const filler = Array<string>(inputs - together).fill(FILLER)
  // Only how often texts are sent depends on the time.
  const time = rounds > 0 ? now : () => 0
  /** Returns the mean time of a request in milliseconds. */
  const someWith = async (count: number, others: readonly string[]): Promise<number> => {
    const sentMs = time()
    for (let from = 0; from < count; from += together) {
      const some = texts.slice(from, Math.min(from + together, count))
      await embedded([...some, ...others], from, some.length)
    }
    return (time() - sentMs) / Math.ceil(count / together)
  }
  const firstMs = await someWith(texts.length, [])
  // A pause of the server or of this process delays one request, and a stored radius is final.
  const isFast =
    rounds > 0 &&
    (firstMs < SLOW_MS || (await someWith(Math.min(together, SHORT_TEXTS.length), filler)) < SLOW_MS)
  if (isFast) {
    for (const [i, text] of texts.entries()) await embedded([text], i, 1)
    for (let round = 0; round < rounds; round++) await someWith(texts.length, filler)
  }
  const means = seen.map(meanOf)
  const radius = Math.max(0, ...means.flatMap((mean, i) => (seen[i] ?? []).map(one => 1 - cosine(one, mean))))
  const model = modelOf(endpoint)
  if (!(radius <= MAX_RADIUS)) {
    throw new ReembedError(
      'MODEL_MISMATCH',
      `the endpoint ${endpoint.url} serves more than one model under the name ${nameOf(model)}: vectors of one text ` +
        `have cosine ${(1 - radius).toFixed(4)} to their mean; deploy the same revision on all replicas`,
      { retry: 'requeue', retryAfterMs: MODEL_RECHECK_MS },
    )
  }
  const alike = findIndistinguishableTexts(texts, means)
  if (alike) {
    throw new ReembedError(
      'ENDPOINT_UNSUPPORTED',
      `the endpoint ${endpoint.url} returns the same vector of ${nameOf(model)} for different texts ` +
        `(${JSON.stringify(alike[0])} and ${JSON.stringify(alike[1])}): its model is broken, restart the endpoint`,
    )
  }
  return { format: 1, model, texts, vectors: means.map(mean => [...mean]), radius }
}

/**
 * The reference texts that the endpoint accepts: those of `stored`, or the long one as long as
 * possible. TEI truncates it; a server with OpenAI's route alone may refuse it.
 */
async function acceptedTexts(
  endpoint: Endpoint,
  stored: readonly string[] | undefined,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  if (endpoint.info.kind === 'tei') return stored ?? referenceTexts
  const isAccepted = async (text: string): Promise<boolean> =>
    endpoint.embed([text], { signal }).then(
      () => true,
      (error: unknown) => {
        const failure = failureBehind(error)
        if (failure && isRefusal(failure)) return false
        throw error
      },
    )
  if (stored !== undefined) {
    const long = stored.filter(text => text.length > MAX_SHORT_CHARACTERS)
    const refused = new Set<string>()
    for (const text of long) if (!(await isAccepted(text))) refused.add(text)
    return stored.filter(text => !refused.has(text))
  }
  for (const times of LONG_TEXT_TIMES)
    if (await isAccepted(longText(times))) return [...SHORT_TEXTS, longText(times)]
  return SHORT_TEXTS
}

/**
 * Two reference texts with equal vectors. The texts differ, so a working model has no such pair.
 */
function findIndistinguishableTexts(
  texts: readonly string[],
  vectors: readonly Float32Array[],
): readonly [string, string] | undefined {
  for (const [i, vector] of vectors.entries()) {
    const same = vectors.findIndex((other, j) => j > i && cosine(vector, other) > SAME_COSINE)
    if (same > 0) return [texts[i] ?? '', (texts[same] ?? '').slice(0, 60)]
  }
  return undefined
}

export interface ReferenceOptions {
  /**
   * How often the texts are embedded in full requests; 0 suffices to compare, not to measure the
   * noise.
   */
  readonly rounds?: number
  /** The texts of a stored reference, to compare with it. */
  readonly texts?: readonly string[] | undefined
  /** The time in milliseconds, which decides whether the endpoint is slow. */
  readonly now?: (() => number) | undefined
  readonly signal?: AbortSignal | undefined
}

function meanOf(vectors: readonly Float32Array[]): Float32Array {
  const mean = new Float32Array(vectors[0]?.length ?? 0)
  for (const vector of vectors) {
    for (let i = 0; i < mean.length; i++) mean[i] = (mean[i] ?? 0) + (vector[i] ?? 0) / vectors.length
  }
  return mean
}

export interface EnsureOptions extends Pick<ReferenceOptions, 'now'> {
  readonly onProgress?: ((done: number, of: number) => void) | undefined
}

/**
 * Stores the reference vectors of a model in the output if it has none, and checks the endpoint
 * against them. So an endpoint with other weights under the same name is detected before a document
 * is embedded.
 *
 * A stored reference is never overwritten, so a race with a rolling update must not corrupt it: the
 * endpoint may be updated between its name and its vectors. Before the reference is stored, the
 * endpoint must state the same name and return the same vectors again, and its name is read a third
 * time.
 * @throws ReembedError MODEL_MISMATCH
 */
export async function ensureReference(
  store: Store,
  endpoint: Endpoint,
  { now, onProgress = () => {} }: EnsureOptions = {},
): Promise<ModelReference> {
  const { id, revision } = modelOf(endpoint)
  const key = modelKey(id, revision)
  const known = await readModelReference(store, modelOf(endpoint))
  const measured = await computeReference(endpoint, { texts: known?.texts, now })
  if (known === undefined) {
    onProgress(1, 2)
    const distance = await confirm(measured, endpoint)
    await putModelReference(store, { ...measured, radius: Math.max(measured.radius, distance) })
  }
  const stored = await readModelReference(store, measured.model)
  if (stored === undefined) {
    throw new ReembedError('CORRUPT', `${key} was deleted from ${store.url} while it was used: restore it`)
  }
  checkReference(measured, stored, endpoint.url)
  return stored
}

/**
 * Other weights change the vector of each text, so the short ones suffice. Each is sent alone: one
 * address may have replicas with different weights. Returns the largest distance of these vectors,
 * which is the noise between a text alone and with others.
 * @throws ReembedError MODEL_MISMATCH unless the endpoint states the same model and returns the
 * same vectors again
 */
async function confirm(measured: ModelReference, endpoint: Endpoint): Promise<number> {
  const [{ model }, { url }] = [measured, endpoint]
  const restated = async (): Promise<void> => {
    const { revision, ...info } = await endpoint.restate()
    assertSameModel(model, { url, info: { ...info, revision: revision ?? model.revision } })
  }
  await restated()
  const texts = measured.texts.filter(text => text.length <= MAX_SHORT_CHARACTERS)
  // A server refuses requests beyond its permits.
  const concurrency = Math.max(1, endpoint.info.maxConcurrentRequests)
  const sent = mapConcurrent(texts, async text => [...(await endpoint.embed([text]))], { concurrency })
  const again = { ...measured, texts, vectors: await Array.fromAsync(sent) }
  const distance = checkReference(again, measured, url)
  // A rollback may have come between name and vectors both times; then the name differs now.
  await restated()
  return distance
}

/**
 * Returns the largest distance between a vector of `measured`, from `url`, and that of `stored`.
 * @throws ReembedError MODEL_MISMATCH unless all of them agree
 */
export function checkReference(measured: ModelReference, stored: ModelReference, url: string): number {
  let distance = 0
  for (const [i, expected] of stored.vectors.entries()) {
    const text = stored.texts[i] ?? ''
    const place = measured.texts.indexOf(text)
    // The endpoint refuses this text for its length.
    if (place < 0 && text.length > MAX_SHORT_CHARACTERS) continue
    const got = measured.vectors[place]
    const likeness =
      got?.length === expected.length ? cosine(Float32Array.from(got), Float32Array.from(expected)) : 0
    if (!(likeness >= MIN_REFERENCE_COSINE)) {
      throw new ReembedError(
        'MODEL_MISMATCH',
        `the endpoint ${url} serves ${nameOf(measured.model)}, but its vectors differ from the stored ones of ` +
          `${nameOf(stored.model)}: cosine ${likeness.toFixed(4)} for reference text ${i + 1}; ` +
          'deploy the same weights, or give changed weights a new revision',
        { retry: 'requeue', retryAfterMs: MODEL_RECHECK_MS },
      )
    }
    distance = Math.max(distance, 1 - likeness)
  }
  return distance
}

/** @throws ReembedError MODEL_MISMATCH unless the endpoint states the model `expected` */
export function assertSameModel(expected: ModelIdentity, endpoint: Pick<Endpoint, 'url' | 'info'>): void {
  const got = modelOf(endpoint)
  const differs = (['id', 'revision', 'dimensions', 'pooling', 'normalized'] as const).find(
    key => got[key] !== expected[key],
  )
  if (differs === undefined) return
  const detail =
    nameOf(got) === nameOf(expected) ? ` with ${differs} ${got[differs]} instead of ${expected[differs]}` : ''
  throw new ReembedError(
    'MODEL_MISMATCH',
    `the run requires model ${nameOf(expected)}, but the endpoint ${endpoint.url} serves ${nameOf(got)}${detail}: ` +
      'deploy the model of the run, or plan a new run',
    { retry: 'requeue', retryAfterMs: MODEL_RECHECK_MS },
  )
}

const nameOf = ({ id, revision }: ModelIdentity): string => (revision === null ? id : `${id}@${revision}`)
