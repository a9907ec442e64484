// The reference vectors of a model, `models/<model@revision>.json`. The first run of a model writes
// them; every later endpoint must produce the same vectors.

import { filled, filledText, finite, format1, modelKey, record } from '@reembed/shared'
import { objectKind, type Store } from '@reembed/store'
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
export const readModelReference = (
  store: Store,
  { id, revision }: Pick<ModelIdentity, 'id' | 'revision'>,
): Promise<ModelReference | undefined> => references.read(store, modelKey(id, revision))

/** Writes the reference vectors of a model, put-if-absent. */
export const putModelReference = (store: Store, reference: ModelReference): Promise<'created' | 'exists'> => {
  const { id, revision } = reference.model
  return references.put(store, modelKey(id, revision), reference)
}

const references = objectKind<ModelReference>({
  noun: 'a model reference that reembed wrote',
  shape: record<ModelReference>({
    format: format1,
    model: modelShape,
    texts: filled(filledText),
    vectors: filled(filled(finite)),
    radius: finite,
  }),
  check({ model, texts, vectors }, key) {
    if (modelKey(model.id, model.revision) !== key)
      return `it belongs to ${model.id}@${model.revision ?? 'unstated'}`
    if (vectors.length !== texts.length || vectors.some(({ length }) => length !== model.dimensions))
      return `vectors must have ${texts.length} rows of ${model.dimensions} numbers`
    const zero = vectors.findIndex(vector => vector.every(value => value === 0))
    return zero < 0 ? undefined : `vectors[${zero}] is zero`
  },
})
