import { randomBytes } from 'node:crypto'
import { gunzipSync, gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { gunzipMembers } from '../src/bytes/gzip-members.ts'

// The same examples in each run.
fc.configureGlobal({ seed: 1 })

async function unpacked(
  chunks: readonly Buffer[],
  start = 0,
): Promise<{ content: Buffer; frames: { byte: number; at: number }[] }> {
  const pieces: Buffer[] = []
  const frames: { byte: number; at: number }[] = []
  let at = 0
  for await (const { bytes, frameStart } of gunzipMembers(chunks, start, 16 * 1024)) {
    if (frameStart !== undefined) frames.push({ byte: frameStart, at })
    pieces.push(bytes)
    at += bytes.length
  }
  return { content: Buffer.concat(pieces), frames }
}

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1
    chunks.push(bytes.subarray(at, at + size))
    at += size
  }
  return chunks
}

const member = fc
  .record({ bytes: fc.integer({ min: 0, max: 90_000 }), level: fc.constantFrom(0, 6), inner: fc.boolean() })
  .map(({ bytes, level, inner }) => {
    const content = randomBytes(bytes)
    // A gzip file inside the content: with level 0 its header is in the stream but begins no
    // member.
    return { content: inner ? Buffer.concat([gzipSync(content), content]) : content, level }
  })

test('gunzipMembers reports true member starts only, however the bytes are split into chunks', async () => {
  let found = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(member, { minLength: 1, maxLength: 12 }),
      fc.array(fc.integer({ min: 1_000, max: 100_000 }), { minLength: 1, maxLength: 5 }),
      async (members, sizes) => {
        const packed = members.map(({ content, level }) => gzipSync(content, { level }))
        const whole = Buffer.concat(packed)
        const { content, frames } = await unpacked(cut(whole, sizes), 1_000)
        expect(content.equals(Buffer.concat(members.map(one => one.content)))).toBe(true)
        const starts = new Set(packed.map((_, i) => 1_000 + Buffer.concat(packed.slice(0, i)).length))
        for (const { byte, at } of frames) {
          expect(starts.has(byte)).toBe(true)
          expect(gunzipSync(whole.subarray(byte - 1_000)).equals(content.subarray(at))).toBe(true)
        }
        found += frames.length - 1
      },
    ),
    { numRuns: 60 },
  )
  expect(found).toBeGreaterThan(60)
})

test('gunzipMembers throws the error of zlib for a truncated or damaged stream', async () => {
  const packed = Buffer.concat([gzipSync(randomBytes(100_000)), gzipSync(randomBytes(100_000))])
  await expect(unpacked(cut(packed.subarray(0, -9), [30_000]))).rejects.toThrow('unexpected end of file')
  const damaged = Buffer.from(packed)
  damaged[damaged.length - 6] = (damaged.at(-6) ?? 0) ^ 1
  await expect(unpacked(cut(damaged, [30_000]))).rejects.toThrow('incorrect data check')
})

test('gunzipMembers closes its source when the consumer stops early', async () => {
  let closed = false
  async function* source(): AsyncGenerator<Buffer> {
    try {
      for (;;) yield gzipSync(randomBytes(100_000))
    } finally {
      closed = true
    }
  }
  for await (const _ of gunzipMembers(source(), 0, 1_000)) break
  expect(closed).toBe(true)
})
