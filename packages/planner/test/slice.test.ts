import type { Slice, SourceObject } from '@reembed/protocol'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { chooseSlicing, slices } from '../src/slice.ts'

// The same examples in each run.
fc.configureGlobal({ seed: 1 })

const object = fc
  .record({
    size: fc.oneof(fc.nat(50), fc.nat(2_000)),
    format: fc.constantFrom('jsonl' as const, 'text' as const, 'markdown' as const),
  })
  .map(({ size, format }): SourceObject => ({ key: 'k', etag: 'e', size, format }))
const corpus = fc
  .array(object, { maxLength: 30 })
  .map(objects => objects.map((object, i) => ({ ...object, key: `object-${i}` })))
const slicing = fc.record({
  sliceBytes: fc.integer({ min: 5, max: 1_000 }),
  maxParts: fc.integer({ min: 1, max: 20 }),
})

async function cut(...args: Parameters<typeof slices>): Promise<Slice[]> {
  return Array.fromAsync(slices(...args))
}

describe('slices', () => {
  it('tile every object, in order, and never cut a whole file', async () => {
    await fc.assert(
      fc.asyncProperty(corpus, slicing, async (objects, slicing) => {
        const parts = (await cut(objects, slicing)).flatMap(slice => slice.parts)
        const expected = objects.filter(({ size }) => size > 0)
        expect([...new Set(parts.map(part => part.key))]).toEqual(expected.map(({ key }) => key))
        for (const { key, size, format } of expected) {
          const mine = parts.filter(part => part.key === key)
          if (format !== 'jsonl') expect(mine).toHaveLength(1)
          expect(mine.map(({ start }) => start)).toEqual([0, ...mine.slice(0, -1).map(({ end }) => end)])
          expect(mine.at(-1)?.end).toBe(size)
          expect(mine.every(({ start, end }) => end > start)).toBe(true)
        }
      }),
    )
  })

  it('keep to their bounds: bytes of JSONL, number of parts, and the weight of whole files', async () => {
    await fc.assert(
      fc.asyncProperty(corpus, slicing, async (objects, slicing) => {
        for (const { parts } of await cut(objects, slicing)) {
          expect(parts.length).toBeGreaterThan(0)
          expect(parts.length).toBeLessThanOrEqual(slicing.maxParts)
          const jsonl = parts.filter(({ format }) => format === 'jsonl')
          const bytes = jsonl.reduce((sum, { start, end }) => sum + end - start, 0)
          expect(bytes).toBeLessThanOrEqual(slicing.sliceBytes)
          const files = parts.length - jsonl.length
          expect(bytes / slicing.sliceBytes + files / slicing.maxParts).toBeLessThan(1 + 1e-9)
        }
      }),
    )
  })

  it('are the same for the same objects, from an array or from a stream', async () => {
    await fc.assert(
      fc.asyncProperty(corpus, slicing, async (objects, slicing) => {
        async function* streamed() {
          yield* objects
        }
        expect(await cut(streamed(), slicing)).toEqual(await cut(objects, slicing))
      }),
    )
  })

  it('of a large object are even, and stay exact at a petabyte', async () => {
    const large: SourceObject = { key: 'a.jsonl', etag: 'e', size: 1e15 + 7, format: 'jsonl' }
    const sizes: number[] = []
    let at = 0
    for await (const { parts } of slices([large], { sliceBytes: 1e11, maxParts: 4096 })) {
      for (const { start, end } of parts) {
        expect(start).toBe(at)
        at = end
        sizes.push(end - start)
      }
    }
    expect(at).toBe(large.size)
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThan(sizes.length)
  })
})

describe('the slicing chosen', () => {
  const base = { documents: 1_000_000, bytesPerRecord: 500, objects: 20, dimensions: 384 }

  it('aims at 4,096 documents a shard', () => {
    expect(chooseSlicing(base)).toEqual({ sliceBytes: 4_096 * 500, maxParts: 4_096 })
  })

  it('cuts a large corpus into about 2,048 shards, then into shards of 64 MiB', () => {
    const documentsPerShard = (documents: number): number => chooseSlicing({ ...base, documents }).maxParts
    expect([8_388_608, 20_480_000, 81_920_000, 1e9].map(documentsPerShard)).toEqual([
      4_096, 10_000, 40_000, 43_690,
    ])
  })

  it('does not put more small files into a shard of a large corpus', () => {
    expect(chooseSlicing({ ...base, documents: 1e8, objects: 1e8 }).maxParts).toBe(4_096)
    expect(chooseSlicing({ ...base, documents: 1e8, objects: 5e7 }).maxParts).toBe(8_192)
  })

  it('keeps the vectors of a shard within 64 MiB, also against a larger documentsPerShard', () => {
    expect(chooseSlicing({ ...base, dimensions: 8_192 }).maxParts).toBe(2_048)
    expect(chooseSlicing({ ...base, dimensions: 8_192, documentsPerShard: 5_000 }).maxParts).toBe(2_048)
  })

  it('cuts a small corpus into about eight shards of at least 256 documents', () => {
    expect(chooseSlicing({ ...base, documents: 8_000 }).maxParts).toBe(1_000)
    expect(chooseSlicing({ ...base, documents: 10 }).maxParts).toBe(256)
  })

  it('takes the number of documents from the caller', () => {
    expect(chooseSlicing({ ...base, documentsPerShard: 7 })).toEqual({ sliceBytes: 3_500, maxParts: 7 })
  })
})
