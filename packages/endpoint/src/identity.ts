// Which model an endpoint serves, and whether it is the one a run is for. Names are not enough: the same name may
// get new weights, and on HF every model is called /repository. So the vectors of eight fixed texts are kept with
// the first run of a model, and every later endpoint must give the same.

import { type ModelIdentity, type ModelReference, readModelReference } from '@reembed/protocol'
import { cosine, modelKey, ReembedError } from '@reembed/shared'
import { putJson, type Store } from '@reembed/store'
import type { Endpoint } from './client/endpoint.ts'
import { MODEL_RECHECK_MS } from './client/outcome.ts'

/** Short, long, not Latin, code, numbers: a changed tokenizer or pooling shows in at least one of them. */
export const referenceTexts: readonly string[] = [
  'cat',
  'The quick brown fox jumps over the lazy dog.',
  'Die Straße führt über den Fluß; größere Schiffe müssen draußen warten.',
  '東京は日本の首都であり、世界最大の都市圏の一つです。',
  'Привет, мир! Как дела? Спасибо, хорошо.',
  'العربية لغة يتحدث بها أكثر من أربعمائة مليون شخص.',
  'function add(a, b) { return a + b } // 3.14159 0x1F -42 1e-9',
  'An embedding maps a text to a point, so that texts with like meaning lie close together. '
    .repeat(40)
    .trim(),
]

/** Vectors of one model agree at least this well, whatever was computed beside them in half precision. */
export const MIN_REFERENCE_COSINE = 0.999

/** More than this between two vectors of one text is not noise: two models answer under one address. */
export const MAX_RADIUS = 1e-3
const ROUNDS = 3
/** Not even noise lies between the two. */
const SAME_COSINE = 1 - 1e-7
/** Stand beside the reference texts in a full request, as documents will. */
const FILLER = 'Filler that makes a request as full as the server allows.'

export function modelOf({ info }: Pick<Endpoint, 'info'>): ModelIdentity {
  const { modelId, revision, dimensions, pooling, normalized } = info
  return { id: modelId, revision, dimensions, pooling, normalized }
}

/**
 * Embeds the reference texts alone and inside full requests, several times, so that the noise of the server is known
 * and a second model behind the same address shows.
 * @throws ReembedError MODEL_MISMATCH when one text gets vectors that are no noise of each other.
 */
export async function computeReference(
  endpoint: Endpoint,
  { rounds = ROUNDS, signal }: ReferenceOptions = {},
): Promise<ModelReference> {
  const { dimensions, maxClientBatchSize } = endpoint.info
  const seen = referenceTexts.map((): Float32Array[] => [])
  const embedded = async (texts: readonly string[], from: number, count: number): Promise<void> => {
    const vectors = await endpoint.embed(texts, { signal })
    for (let i = 0; i < count; i++) seen[from + i]?.push(vectors.slice(i * dimensions, (i + 1) * dimensions))
  }
  for (const [i, text] of referenceTexts.entries()) await embedded([text], i, 1)
  const together = Math.max(1, Math.min(referenceTexts.length, maxClientBatchSize))
  const filler = Array.from({ length: Math.min(maxClientBatchSize, FULL_REQUEST) - together }, () => FILLER)
  for (let round = 0; round < rounds; round++) {
    for (let from = 0; from < referenceTexts.length; from += together) {
      const texts = referenceTexts.slice(from, from + together)
      await embedded([...texts, ...filler], from, texts.length)
    }
  }
  const means = seen.map(meanOf)
  let radius = 0
  for (const [i, mean] of means.entries()) {
    for (const vector of seen[i] ?? []) radius = Math.max(radius, 1 - cosine(vector, mean))
  }
  const model = modelOf(endpoint)
  if (!(radius <= MAX_RADIUS)) {
    throw new ReembedError(
      'MODEL_MISMATCH',
      `the endpoint ${endpoint.url} serves more than one model under the name ${nameOf(model)}: the same text got vectors ` +
        `at cosine ${(1 - radius).toFixed(4)} of their mean. Wait until all its replicas run the same revision`,
      { retry: 'requeue', retryAfterMs: MODEL_RECHECK_MS },
    )
  }
  const alike = findIndistinguishableTexts(means)
  if (alike) {
    throw new ReembedError(
      'ENDPOINT_UNSUPPORTED',
      `the endpoint ${endpoint.url} gives ${nameOf(model)} one and the same vector for different texts ` +
        `(${JSON.stringify(alike[0])} and ${JSON.stringify(alike[1])}): its model is broken, start it anew`,
    )
  }
  return { format: 1, model, texts: referenceTexts, vectors: means.map(mean => [...mean]), radius }
}

/** Two reference texts that a model cannot tell apart. The texts are all different: no working model has any. */
function findIndistinguishableTexts(vectors: readonly Float32Array[]): readonly [string, string] | undefined {
  for (const [i, vector] of vectors.entries()) {
    const same = vectors.findIndex((other, j) => j > i && cosine(vector, other) > SAME_COSINE)
    if (same > 0) return [referenceTexts[i] ?? '', (referenceTexts[same] ?? '').slice(0, 60)]
  }
  return undefined
}

export interface ReferenceOptions {
  /** How often the texts are embedded inside full requests; 0 is enough to compare, not to know the noise. */
  readonly rounds?: number
  readonly signal?: AbortSignal | undefined
}

/** Requests of documents are no larger. */
const FULL_REQUEST = 32

function meanOf(vectors: readonly Float32Array[]): Float32Array {
  const mean = new Float32Array(vectors[0]?.length ?? 0)
  for (const vector of vectors) {
    for (let i = 0; i < mean.length; i++) mean[i] = (mean[i] ?? 0) + (vector[i] ?? 0) / vectors.length
  }
  return mean
}

/**
 * The first run with a model leaves its reference vectors in the output; every later one must agree with them. So an
 * endpoint that serves other weights under the same name is found before anything is embedded.
 *
 * What is kept can never be changed, so it must not be mistaken: an update may come between the name and the vectors.
 * Before anything is kept, the endpoint is opened and measured a second time and has to say the same, and its name a
 * third time.
 */
export async function ensureReference(
  store: Store,
  endpoint: Endpoint,
  reopen: () => Promise<Endpoint>,
): Promise<ModelReference> {
  const { id, revision } = modelOf(endpoint)
  const key = modelKey(id, revision)
  const measured = await computeReference(endpoint)
  if ((await readModelReference(store, measured.model)) === undefined) {
    await confirm(measured, endpoint.url, reopen)
    await putJson(store, key, measured)
  }
  const stored = await readModelReference(store, measured.model)
  if (stored === undefined) throw new ReembedError('CORRUPT', `${key} vanished from ${store.url}`)
  checkReference(measured, stored, endpoint.url)
  return stored
}

/** Throws MODEL_MISMATCH unless the endpoint says the same again. */
async function confirm(
  measured: ModelReference,
  url: string,
  openAgain: () => Promise<Endpoint>,
): Promise<void> {
  await using second = await openAgain()
  assertSameModel(measured.model, second)
  checkReference(await computeReference(second), measured, url)
  // Both times an update may have been taken back between the name and the vectors; then the name is another now.
  await using third = await openAgain()
  assertSameModel(measured.model, third)
}

/** Throws MODEL_MISMATCH unless `measured` at `url` has the vectors that `stored` has. */
export function checkReference(measured: ModelReference, stored: ModelReference, url: string): void {
  for (const [i, expected] of stored.vectors.entries()) {
    const got = measured.vectors[i]
    const likeness =
      got?.length === expected.length ? cosine(Float32Array.from(got), Float32Array.from(expected)) : 0
    if (!(likeness >= MIN_REFERENCE_COSINE)) {
      throw new ReembedError(
        'MODEL_MISMATCH',
        `the endpoint ${url} serves ${nameOf(measured.model)}, but its vectors are not those that were kept for ` +
          `${nameOf(stored.model)}: cosine ${likeness.toFixed(4)} for reference text ${i + 1}. ` +
          'Weights that changed need a revision of their own',
        { retry: 'requeue', retryAfterMs: MODEL_RECHECK_MS },
      )
    }
  }
}

/** Throws MODEL_MISMATCH unless the endpoint serves `expected`. */
export function assertSameModel(expected: ModelIdentity, endpoint: Pick<Endpoint, 'url' | 'info'>): void {
  const got = modelOf(endpoint)
  const differs = (['id', 'revision', 'dimensions', 'pooling', 'normalized'] as const).find(
    key => got[key] !== expected[key],
  )
  if (differs === undefined) return
  const detail =
    nameOf(got) === nameOf(expected) ? ` with ${differs} ${got[differs]}, not ${expected[differs]}` : ''
  throw new ReembedError(
    'MODEL_MISMATCH',
    `this run is for model ${nameOf(expected)}, the endpoint ${endpoint.url} serves ${nameOf(got)}${detail}`,
    { retry: 'requeue', retryAfterMs: MODEL_RECHECK_MS },
  )
}

const nameOf = ({ id, revision }: ModelIdentity): string => (revision === null ? id : `${id}@${revision}`)
