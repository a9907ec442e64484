import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkLevels } from '../src/read/levels.ts'

// The same examples in each run.
fc.configureGlobal({ seed: 1 })

/**
 * Writes levels as pieces, each run-length encoded or bit-packed in groups of 8, as any Parquet
 * writer may.
 */
function encode(levels: readonly number[], packed: boolean): Buffer {
  const bytes: number[] = []
  const varint = (value: number): void => {
    for (let rest = value; ; rest = Math.floor(rest / 128)) {
      bytes.push(rest < 128 ? rest : (rest % 128) + 128)
      if (rest < 128) return
    }
  }
  if (packed) {
    varint((Math.ceil(levels.length / 8) << 1) | 1)
    for (let at = 0; at < levels.length; at += 8) {
      bytes.push(levels.slice(at, at + 8).reduce((byte, level, bit) => byte | (level << bit), 0))
    }
    return Buffer.from(bytes)
  }
  for (let at = 0; at < levels.length; ) {
    let end = at
    while (end < levels.length && levels[end] === levels[at]) end++
    varint((end - at) << 1)
    bytes.push(levels[at] ?? 0)
    at = end
  }
  return Buffer.from(bytes)
}

function decode(bytes: Buffer, count: number): number[] {
  const levels: number[] = []
  checkLevels(bytes, count, (start, length, level) => {
    expect(start).toBe(levels.length)
    for (let i = 0; i < length; i++) levels.push(level)
    return true
  })
  return levels
}

describe('checkLevels', () => {
  const levels = fc.array(fc.constantFrom(0, 1), { minLength: 1, maxLength: 2_000 })

  test('passes on every level once and in order, run-length encoded or bit-packed', () => {
    fc.assert(
      fc.property(levels, fc.boolean(), (levels, packed) => {
        expect(decode(encode(levels, packed), levels.length)).toEqual(levels)
      }),
    )
  })

  test('reports the position of an unexpected level', () => {
    const bytes = encode([0, 1, 1, 1, 0, 0], false)
    expect(() => checkLevels(bytes, 6, (_start, length, level) => level === 1 || length === 1)).toThrow(
      'has an unexpected repetition or definition level at value 4',
    )
  })

  test('never reads past the end and always terminates, for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(1_000), (bytes, count) => {
        try {
          checkLevels(Buffer.from(bytes), count, () => true)
        } catch (error) {
          expect(error).toBeInstanceOf(Error)
        }
      }),
    )
  })
})
