// Finds content hashes among those of one shard. A Map of strings takes some 150 bytes a row and
// 20 times as long to build; a job searches the shards of several.

import { HASH_BYTES } from '../read/columns.ts'

/** The content hashes of one shard. */
export interface HashTable {
  /** Memory that the table takes. */
  readonly bytes: number
  /** The first row with this hash, a latin1 string; undefined if none has it. */
  rowOf(hash: string): number | undefined
}

const WORDS = HASH_BYTES / Uint32Array.BYTES_PER_ELEMENT

/** @param hashes 16 bytes a row, in row order; they are copied */
export function createHashTable(hashes: Uint8Array): HashTable {
  // Not `slice`: that of a Buffer copies nothing.
  const words = new Uint32Array(new Uint8Array(hashes).buffer)
  const rows = words.length / WORDS
  const mask = 2 ** Math.ceil(Math.log2(1.5 * rows + 1)) - 1
  /** Open addressing: the row of a hash plus 1, at or after the place that its first word names. */
  const places = new Uint32Array(mask + 1)
  const sought = new Uint32Array(WORDS)
  const soughtBytes = new Uint8Array(sought.buffer)

  /** The place of the hash whose words begin at `at` in `of`, or the free place for it. */
  function placeOf(of: Uint32Array, at: number): number {
    let place = (of[at] ?? 0) & mask
    for (let row = places[place] ?? 0; row > 0 && !isEqual(of, at, row - 1); row = places[place] ?? 0)
      place = (place + 1) & mask
    return place
  }

  function isEqual(of: Uint32Array, at: number, row: number): boolean {
    for (let word = 0; word < WORDS; word += 1) if (of[at + word] !== words[row * WORDS + word]) return false
    return true
  }

  for (let row = 0; row < rows; row += 1) {
    const place = placeOf(words, row * WORDS)
    if (places[place] === 0) places[place] = row + 1
  }

  return {
    bytes: words.byteLength + places.byteLength,
    rowOf(hash) {
      for (let byte = 0; byte < HASH_BYTES; byte += 1) soughtBytes[byte] = hash.charCodeAt(byte)
      const found = places[placeOf(sought, 0)] ?? 0
      return found > 0 ? found - 1 : undefined
    },
  }
}
