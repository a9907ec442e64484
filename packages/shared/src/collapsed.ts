// Finds a reply that has one vector for most of its texts. Each vector of it passes every check of
// a single vector.

/** Only a broken model gives one vector to this many texts that it can tell apart. */
const MIN_TEXTS = 16

export interface SentTexts {
  readonly texts: readonly string[]
  /** Row of the vector of each text. */
  readonly rows: readonly number[]
  /** Index of a text that is not compared: its vector can be right where all others are wrong. */
  readonly canary?: number | undefined
}

export interface ModelLimits {
  readonly dimensions: number
  /** Tokens that the model reads of a text; null if unknown. */
  readonly maxInputLength: number | null
}

/**
 * Returns how many texts that a model can tell apart share one vector, if they are at least 16 and
 * the vector is that of most texts; else 0. Texts of which the model may read the same tokens count
 * once: those that agree up to its limit, and those that differ only in case, accents, spaces and
 * signs.
 */
export function collapsedTexts(
  { texts, rows, canary }: SentTexts,
  vectors: Float32Array,
  { dimensions, maxInputLength }: ModelLimits,
): number {
  if (texts.length < MIN_TEXTS) return 0
  const hasSame = (a: number, b: number): boolean =>
    isEqual(vectors, (rows[a] ?? 0) * dimensions, (rows[b] ?? 0) * dimensions, dimensions)
  const compared = rows
    .keys()
    .filter(index => index !== canary)
    .toArray()
  const most = majorityOf(compared, hasSame)
  const same = compared.filter(index => hasSame(most, index))
  if (same.length < MIN_TEXTS || same.length <= compared.length / 2) return 0
  const { size } = new Set(same.map(index => distinguishable(texts[index] ?? '', maxInputLength)))
  return size < MIN_TEXTS ? 0 : size
}

/**
 * The majority vote of Boyer and Moore: an index whose vector more than half of the texts have, if
 * there is one. Sound vectors differ in their first value, so the pass costs a comparison a text.
 */
function majorityOf(indexes: readonly number[], hasSame: (a: number, b: number) => boolean): number {
  let [candidate = 0] = indexes
  let votes = 0
  for (const index of indexes) {
    if (votes === 0) candidate = index
    votes += hasSame(candidate, index) ? 1 : -1
  }
  return candidate
}

function isEqual(vectors: Float32Array, a: number, b: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (vectors[a + i] !== vectors[b + i]) return false
  return true
}

/** A token has at least one character. */
const distinguishable = (text: string, maxTokens: number | null): string =>
  text
    .toLowerCase()
    .normalize('NFKD')
    .replaceAll(/[^\p{L}\p{N}]+/gu, ' ')
    .trim()
    .slice(0, maxTokens ?? undefined)
