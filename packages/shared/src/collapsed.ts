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
  const firstValue = (index: number): number => vectors[(rows[index] ?? 0) * dimensions] ?? 0
  const hasSame = (a: number, b: number): boolean =>
    isEqual(vectors, (rows[a] ?? 0) * dimensions, (rows[b] ?? 0) * dimensions, dimensions)
  const compared = rows.length - (canary === undefined ? 0 : 1)
  const isMajority = (count: number): boolean => count >= MIN_TEXTS && count > compared / 2

  // Sound vectors differ in their first value, so most replies end here.
  const likely = firstValue(majorityOf(rows.length, canary, (a, b) => firstValue(a) === firstValue(b)))
  let alike = 0
  for (let i = 0; i < rows.length; i++) if (i !== canary && firstValue(i) === likely) alike += 1
  if (!isMajority(alike)) return 0

  const most = majorityOf(rows.length, canary, hasSame)
  const same = texts.filter((_, i) => i !== canary && hasSame(most, i))
  if (!isMajority(same.length)) return 0
  const { size } = new Set(same.map(text => distinguishable(text, maxInputLength)))
  return size < MIN_TEXTS ? 0 : size
}

/**
 * The majority vote of Boyer and Moore: of the indexes below `count`, without that of the canary,
 * one that is the same as more than half of them, if there is one.
 */
function majorityOf(
  count: number,
  canary: number | undefined,
  isSame: (a: number, b: number) => boolean,
): number {
  let candidate = 0
  let votes = 0
  for (let i = 0; i < count; i++) {
    if (i === canary) continue
    if (votes === 0) candidate = i
    votes += isSame(candidate, i) ? 1 : -1
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
