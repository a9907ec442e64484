// A 64-bit hash of ids that is computed on their UTF-8 bytes: HalfSipHash-2-4 (Aumasson and
// Bernstein, "SipHash: a fast short-input PRF"; reference: github.com/veorq/SipHash). SHA-256 of an
// id takes 1.9 µs by node:crypto, most of it for the call; this takes a twentieth. The key makes it
// infeasible to write a corpus whose ids collide.

import { hash } from 'node:crypto'

export interface IdHash {
  /**
   * Writes the hash of the bytes from `start` to `end`, exclusive, into two words of `target`, the
   * lower one first: entry `index` of a BigUint64Array over the same memory.
   */
  write(bytes: Uint8Array, start: number, end: number, target: Uint32Array, index: number): void
  of(id: string): bigint
}

/** @param key text from which the key is derived: the same text gives the same hashes */
export function createIdHash(key: string): IdHash {
  const secret = hash('sha256', key, 'buffer')
  return createHalfSipHash(secret.readUInt32LE(0), secret.readUInt32LE(4))
}

/** HalfSipHash-2-4 with 64 bits of output; `k0` and `k1` are the halves of its key. */
export function createHalfSipHash(k0: number, k1: number): IdHash {
  // One loop for all rounds, with the state in local variables: in a closure or an array each hash
  // takes four times as long.
  function write(bytes: Uint8Array, start: number, end: number, target: Uint32Array, index: number): void {
    let v0 = k0
    let v1 = k1 ^ 0xee
    let v2 = 0x6c796765 ^ k0
    let v3 = 0x74656462 ^ k1
    const last = start + ((end - start) & ~3)
    // 32 bits of the message at a time, the last ones with its length; then twice four rounds.
    for (let at = start; at <= last + 8; at += 4) {
      let word = 0
      if (at < last) {
        word = wordOf(bytes, at)
      } else if (at === last) {
        word = (end - start) << 24
        for (let i = at; i < end; i += 1) word |= (bytes[i] as number) << (8 * (i - at))
      } else if (at === last + 4) {
        v2 ^= 0xee
      } else {
        target[2 * index] = v1 ^ v3
        v1 ^= 0xdd
      }
      v3 ^= word
      for (let rounds = at <= last ? 2 : 4; rounds > 0; rounds -= 1) {
        v0 = (v0 + v1) | 0
        v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
        v0 = (v0 << 16) | (v0 >>> 16)
        v2 = (v2 + v3) | 0
        v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
        v0 = (v0 + v3) | 0
        v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
        v2 = (v2 + v1) | 0
        v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
        v2 = (v2 << 16) | (v2 >>> 16)
      }
      v0 ^= word
    }
    target[2 * index + 1] = v1 ^ v3
  }

  return {
    write,
    of(id) {
      const bytes = Buffer.from(id)
      const word = new BigUint64Array(1)
      write(bytes, 0, bytes.length, new Uint32Array(word.buffer), 0)
      return word[0] ?? 0n
    },
  }
}

/** Little-endian. */
const wordOf = (bytes: Uint8Array, at: number): number =>
  (bytes[at] as number) |
  ((bytes[at + 1] as number) << 8) |
  ((bytes[at + 2] as number) << 16) |
  ((bytes[at + 3] as number) << 24)
