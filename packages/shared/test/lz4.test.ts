import { describe, expect, test } from 'vitest'
import { decompressLz4Frame } from '../src/lz4.ts'

/**
 * Magic, flags (version 1, linked blocks), block size 64 KiB, and the header checksum, which is not
 * verified.
 */
const HEADER = [0x04, 0x22, 0x4d, 0x18, 0x40, 0x40, 0x00]
const END = [0, 0, 0, 0]
const block = (...bytes: number[]): number[] => [bytes.length, 0, 0, 0, ...bytes]
const text = (value: string): number[] => [...Buffer.from(value)]

/** The second block repeats 8 bytes of the first one, then has 5 literals. */
const linked = Buffer.from([
  ...HEADER,
  ...block(0x80, ...text('abcdefgh')),
  ...block(0x04, 8, 0, 0x50, ...text('.END.')),
  ...END,
])
const CONTENT = 'abcdefghabcdefgh.END.'

describe('decompressLz4Frame', () => {
  test('follows a block that refers to the block before it', () => {
    expect(Buffer.from(decompressLz4Frame(linked, CONTENT.length)).toString()).toBe(CONTENT)
  })

  test('throws ERR_BUFFER_TOO_LARGE when the output exceeds the bound by one byte', () => {
    expect(() => decompressLz4Frame(linked, CONTENT.length - 1)).toThrow(
      expect.objectContaining({ code: 'ERR_BUFFER_TOO_LARGE' }),
    )
  })

  test('allocates no more than the bound for a frame that claims 2^60 bytes', () => {
    const claim = Buffer.alloc(8)
    claim.writeBigUInt64LE(2n ** 60n)
    const frame = Buffer.from([
      ...HEADER.slice(0, 4),
      0x48,
      0x40,
      ...claim,
      0,
      ...block(0x80, ...text('abcdefgh')),
      ...END,
    ])
    const output = decompressLz4Frame(frame, 64)
    expect(Buffer.from(output).toString()).toBe('abcdefgh')
    expect(output.buffer.byteLength).toBe(64)
  })

  test('throws at every truncation', () => {
    for (let bytes = 0; bytes < linked.length; bytes++) {
      expect(() => decompressLz4Frame(linked.subarray(0, bytes), 1024), `${bytes} bytes`).toThrow()
    }
  })

  test('throws for a match before the start of the frame', () => {
    const frame = Buffer.from([...HEADER, ...block(0x14, 97, 2, 0, 0x10, 98), ...END])
    expect(() => decompressLz4Frame(frame, 1024)).toThrow('refers to data before the start of its frame')
  })
})
