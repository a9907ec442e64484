// Counts texts whose vector other texts have, too. A model gives different texts different vectors,
// unless it reads the same tokens of them: variants of one text, words that it does not know, or
// texts that agree up to its limit. A server that returns one vector for all texts of a request
// passes every check of a single vector.

/** Variants of one text (case, spaces) are fewer. */
const MIN_TEXTS = 4

export interface RepeatedVectors {
  /** Different texts whose vector at least three others of their row group have. */
  readonly count: number
  /** Those of them whose vector more than half of the texts of their row group have. */
  readonly majority: number
  /** Adds the rows of a row group; the hash of row i begins at `i * 16`. */
  add(rows: { readonly hashes: Uint8Array; readonly vectors: Float32Array }): void
}

/** Causes of repeated vectors, with their fixes, for messages: an honest model gives them, too. */
export const REPEATED_CAUSES =
  'remove texts that differ only in case or spaces, use a model of the language of the texts, or repair the model of the endpoint if neither applies'

const HASH_BYTES = 16
/** Fewer may be texts of which the model knows no word. */
const MIN_REPEATED = 16

/**
 * Whether a shard holds nonsense: most of its texts have one vector, and the `truncated` ones,
 * which may agree in all that the model read, do not account for that.
 */
export const isMostlyRepeated = (
  { majority }: Pick<RepeatedVectors, 'majority'>,
  rows: number,
  truncated: number,
): boolean => majority - truncated >= MIN_REPEATED && majority - truncated > rows / 2

/**
 * Whether more than half of the rows can have one vector, judged by three of their values: a vote
 * of Boyer and Moore. Sound vectors differ in them, so a worker spares them the count.
 */
export function canHaveMajority(vectors: Float32Array, dimensions: number): boolean {
  const words = wordsOf(vectors)
  let candidate = Number.NaN
  let votes = 0
  for (let start = 0; start < words.length; start += dimensions) {
    const key = keyOf(words, start, dimensions)
    if (votes === 0) candidate = key
    votes += key === candidate ? 1 : -1
  }
  let alike = 0
  for (let start = 0; start < words.length; start += dimensions)
    if (keyOf(words, start, dimensions) === candidate) alike += 1
  return 2 * alike * dimensions > words.length
}

const wordsOf = ({ buffer, byteOffset, length }: Float32Array): Uint32Array =>
  new Uint32Array(buffer, byteOffset, length)

/**
 * A hash of the first, a middle and the last value of a vector. Values that differ in their sign
 * alone, as those of binary vectors, must not cancel out.
 */
const keyOf = (words: Uint32Array, start: number, dimensions: number): number =>
  mixed(
    mixed(mixed(HASH_SEED, words[start] ?? 0), words[start + (dimensions >> 1)] ?? 0),
    words[start + dimensions - 1] ?? 0,
  ) >>> 0

const HASH_SEED = 0x811c9dc5

function mixed(hash: number, word: number): number {
  const product = Math.imul(hash ^ word, 0x01000193)
  return product ^ (product >>> 15)
}

/**
 * Holds one number for each row of a row group. Compares rows only if three of their values agree;
 * where vectors have few different values, as binary ones, only if their hashes do.
 */
export function createRepeatedVectors(dimensions: number): RepeatedVectors {
  let [count, majority] = [0, 0]
  return {
    get count() {
      return count
    },
    get majority() {
      return majority
    },
    add({ hashes, vectors }) {
      const words = wordsOf(vectors)
      const bytes = new DataView(hashes.buffer, hashes.byteOffset, hashes.byteLength)
      // 53 of the 128 bits of a hash: enough to count the texts of one vector.
      const text = (row: number): number =>
        bytes.getUint32(row * HASH_BYTES) + (bytes.getUint32(row * HASH_BYTES + 4) >>> 11) * 2 ** 32
      const firstRows = new Map<number, number>()
      const textsOfFirst = new Map<number, Set<number>>()
      for (let row = 0; row * dimensions < words.length; row++) {
        const first = findOrAdd(firstRows, words, row, dimensions)
        if (first === row) continue
        const texts = textsOfFirst.get(first)
        if (texts) texts.add(text(row))
        else textsOfFirst.set(first, new Set([text(first), text(row)]))
      }
      const others = firstRows.size - textsOfFirst.size
      const all = textsOfFirst.values().reduce((sum, { size }) => sum + size, others)
      for (const { size } of textsOfFirst.values()) {
        if (size >= MIN_TEXTS) count += size
        if (size >= MIN_TEXTS && size > all / 2) majority += size
      }
    },
  }
}

/** The first row with the vector of `row`; `row` itself if none before it has it. */
function findOrAdd(
  firstRows: Map<number, number>,
  words: Uint32Array,
  row: number,
  dimensions: number,
): number {
  const start = row * dimensions
  let key = keyOf(words, start, dimensions)
  for (;;) {
    const first = firstRows.get(key)
    if (first === undefined) {
      firstRows.set(key, row)
      return row
    }
    if (isEqual(words, first * dimensions, start, dimensions)) return first
    key = key < WHOLE_VECTOR ? WHOLE_VECTOR + hashOf(words, start, dimensions) : key + 1
  }
}

/** Keys from here on are hashes of all values. */
const WHOLE_VECTOR = 2 ** 32

function hashOf(words: Uint32Array, start: number, length: number): number {
  let hash = HASH_SEED
  for (let i = 0; i < length; i++) hash = mixed(hash, words[start + i] ?? 0)
  return hash >>> 0
}

function isEqual(words: Uint32Array, a: number, b: number, length: number): boolean {
  for (let i = 0; i < length; i++) if (words[a + i] !== words[b + i]) return false
  return true
}
