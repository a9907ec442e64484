// The reference vectors of a model, `models/<model@revision>.json`. The first run of a model writes
// them; every later endpoint must produce the same vectors.

import { finite, format1, is, list, modelKey, ReembedError, record, type Shape, text } from '@reembed/shared'
import { getShaped, type Store } from '@reembed/store'
import { type ModelIdentity, modelShape } from './receipt.ts'

/** The vectors of fixed texts under one model. */
export interface ModelReference {
  readonly format: 1
  readonly model: ModelIdentity
  readonly texts: readonly string[]
  /** One vector per text: the mean of several measurements. */
  readonly vectors: readonly (readonly number[])[]
  /**
   * Maximum cosine distance of a measured vector from its mean: the noise of half precision and
   * batching.
   */
  readonly radius: number
}

/**
 * Reads the reference vectors of a model; undefined if the store has none.
 * @throws ReembedError CORRUPT unless each text has one vector of the model's dimensions: the model
 *   check compares stored vectors, so it would pass any model without them
 */
export async function readModelReference(
  store: Store,
  { id, revision }: Pick<ModelIdentity, 'id' | 'revision'>,
): Promise<ModelReference | undefined> {
  const key = modelKey(id, revision)
  const noun = 'a model reference'
  const reference = await getShaped<ModelReference>(store, key, referenceShape, noun)
  if (reference === undefined) return undefined
  const { model, texts, vectors } = reference
  const isWhole =
    vectors.length === texts.length && vectors.every(vector => vector.length === model.dimensions)
  if (isWhole) return reference
  throw new ReembedError(
    'CORRUPT',
    `${key} in ${store.url} is not ${noun} that reembed wrote: vectors must have ${texts.length} rows of ${model.dimensions} numbers`,
  )
}

/** A list with at least one element. */
const filled =
  (shape: Shape): Shape =>
  (value, path) =>
    list(shape)(value, path) ?? is(() => Array.isArray(value) && value.length > 0)(value, path)

const referenceShape = record<ModelReference>({
  format: format1,
  model: modelShape,
  texts: filled(text),
  vectors: filled(filled(finite)),
  radius: finite,
})
