// Which model an endpoint serves, and whether it is the one a run is for. Names are not enough: the same name may
// get new weights, and on HF every model is called /repository. So the vectors of eight fixed texts are kept with
// the first run of a model, and every later endpoint must give the same.

import { type ModelIdentity, ReembedError } from '@reembed/shared'
import { cosine, type Endpoint } from './endpoint/index.ts'

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
export const REFERENCE_COSINE = 0.999

/** Kept as `models/<model@revision>.json`. */
export interface ModelReference {
  readonly format: 1
  readonly model: ModelIdentity
  /** One vector per reference text. */
  readonly vectors: readonly (readonly number[])[]
}

export function modelOf({ info }: Pick<Endpoint, 'info'>): ModelIdentity {
  const { modelId, revision, dimensions, pooling, normalized } = info
  return { id: modelId, revision, dimensions, pooling, normalized }
}

/** Embeds the reference texts one by one, so that nothing of ours is computed beside them. */
export async function measureReference(endpoint: Endpoint, signal?: AbortSignal): Promise<ModelReference> {
  const vectors: number[][] = []
  for (const text of referenceTexts) vectors.push([...(await endpoint.embed([text], { signal }))])
  return { format: 1, model: modelOf(endpoint), vectors }
}

/** Throws MODEL_MISMATCH unless `measured` at `url` has the vectors that `stored` has. */
export function checkReference(measured: ModelReference, stored: ModelReference, url: string): void {
  for (const [i, expected] of stored.vectors.entries()) {
    const got = measured.vectors[i]
    const likeness =
      got?.length === expected.length ? cosine(Float32Array.from(got), Float32Array.from(expected)) : 0
    if (!(likeness >= REFERENCE_COSINE)) {
      throw new ReembedError(
        'MODEL_MISMATCH',
        `the endpoint ${url} serves ${nameOf(measured.model)}, but its vectors are not those that were kept for ` +
          `${nameOf(stored.model)}: cosine ${likeness.toFixed(4)} for reference text ${i + 1}. ` +
          'Weights that changed need a revision of their own',
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
  )
}

const nameOf = ({ id, revision }: ModelIdentity): string => (revision === null ? id : `${id}@${revision}`)
