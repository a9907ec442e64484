// Guarantees of every export, whatever the layout; and readEmbeddings.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { measureRecall } from '@reembed/evaluate'
import { EXPORT_LAYOUT_NAMES, exportRun } from '@reembed/export'
import { type Manifest, putVersion, readManifestShards } from '@reembed/protocol'
import { readCurrentManifest, readEmbeddings } from '@reembed/shard'
import { manifestSegmentKey, shardKey } from '@reembed/shared'
import { openStore, putRows } from '@reembed/store'
import { startS3Server } from '@reembed/testing'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { memoryStore } from '../shard/parts.ts'
import { makeRun, RUN } from './run.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-export-'))
})
afterAll(() => rm(folder, { recursive: true }))
afterEach(() => vi.unstubAllEnvs())

describe('an export', () => {
  it('that was interrupted continues with the missing files, and reads no shard of existing files', async () => {
    const source = memoryStore()
    const { manifest, ids } = await makeRun(source, { shards: 5 })
    const whole = memoryStore()
    await exportRun(source, manifest, whole, { layout: 'npy', quantize: ['int8'] })

    const target = memoryStore()
    const stop = new AbortController()
    const onProgress = ({ shards }: { shards: number }): void => {
      if (shards === 2) stop.abort(new Error('stopped'))
    }
    const request = { layout: 'npy', quantize: ['int8'] } as const
    await expect(
      exportRun(source, manifest, target, { ...request, signal: stop.signal, onProgress }),
    ).rejects.toThrow('stopped')
    expect(target.objects.has('LOAD.md')).toBe(false)
    const files = [...target.objects.keys()].filter(key => key.startsWith('embeddings/'))
    expect(files.length).toBeGreaterThanOrEqual(2)
    expect(files.length).toBeLessThan(5)

    source.reads.length = 0
    const outcome = await exportRun(source, manifest, target, request)
    expect(outcome).toMatchObject({ rows: ids.length, shards: 5, files: 15, existingFiles: 3 * files.length })
    const read = new Set(source.reads.filter(({ key }) => key.endsWith('.parquet')).map(({ key }) => key))
    expect(read.size).toBe(5 - files.length)
    expect([...target.objects].sort()).toEqual([...whole.objects].sort())
  })

  it('writes nothing if it is complete, and refuses a target with another export or other files', async () => {
    const source = memoryStore()
    const { manifest } = await makeRun(source)
    const target = memoryStore()
    await exportRun(source, manifest, target, { layout: 'hf' })
    expect(await exportRun(source, manifest, target, { layout: 'hf' })).toMatchObject({
      files: 3,
      existingFiles: 3,
      bytes: 0,
    })
    await expect(exportRun(source, manifest, target, { layout: 'lance' })).rejects.toThrow(
      `memory holds another export (run ${RUN}, layout hf): export to an empty folder`,
    )
    await expect(exportRun(source, manifest, target, { layout: 'hf', quantize: ['int8'] })).rejects.toThrow(
      'holds another export',
    )
    await expect(exportRun(source, manifest, source, { layout: 'hf' })).rejects.toThrow('is not empty')
  })

  it('fails if a shard does not match the manifest, and writes no LOAD.md', async () => {
    const source = memoryStore()
    const { manifest } = await makeRun(source)
    const { model } = manifest
    const carry = manifest.layout?.carry ?? []
    const carrying = (name: string, type: 'string' | 'int64'): Manifest => ({
      ...manifest,
      layout: {
        ...manifest.layout,
        carry: [...carry.filter(column => column.name !== name), { name, type }],
      },
    })
    const others: [Manifest, string][] = [
      [carrying('language', 'string'), 'it has no column language'],
      [carrying('lang', 'int64'), 'column lang has a value that is a string, the manifest declares int64'],
      [
        { ...manifest, model: { ...model, dimensions: model.dimensions * 2 } },
        `its vectors do not have the ${model.dimensions * 2} dimensions of the manifest`,
      ],
    ]
    for (const layout of EXPORT_LAYOUT_NAMES) {
      for (const [other, what] of others) {
        const target = memoryStore()
        const exporting = exportRun(source, other, target, { layout })
        await expect(exporting, `${layout}: ${what}`).rejects.toMatchObject({
          code: 'CORRUPT',
          message: expect.stringMatching(
            `^runs/\\w+/data/part-0000\\d-of-00003\\.parquet in memory does not match its manifest: ${what}; the shard or the manifest was replaced$`,
          ),
        })
        expect(target.objects.has('LOAD.md'), layout).toBe(false)
      }
    }
  })

  it('fails if the manifest does not match its segments or files', async () => {
    const source = memoryStore()
    const { manifest } = await makeRun(source)
    // Two shards per segment.
    const cases: [number, string][] = [
      [2, 'manifest.json in memory is damaged: it records 300 rows, but its shards contain 200'],
      [4, 'manifest-00001.json.gz in memory is damaged: it has 1 shards where the manifest has 2'],
    ]
    for (const [shards, what] of cases) {
      const target = memoryStore()
      const exporting = exportRun(source, { ...manifest, shards }, target, { layout: 'npy' })
      await expect(exporting).rejects.toMatchObject({
        code: 'CORRUPT',
        message: `runs/${manifest.run}/${what}`,
      })
      expect(target.objects.has('LOAD.md')).toBe(false)
    }
    const shards = await Array.fromAsync(readManifestShards(source, manifest))
    const key = manifestSegmentKey(manifest.run, 0)
    source.objects.delete(key)
    await putRows(
      source,
      key,
      shards.slice(0, 2).map(shard => ({ ...shard, rows: shard.rows + 1 })),
    )
    await expect(exportRun(source, manifest, memoryStore(), { layout: 'hf' })).rejects.toMatchObject({
      code: 'CORRUPT',
      message: expect.stringMatching(/: it has \d+ rows, the manifest records \d+; the shard/),
    })
  })

  it('reads from S3 and writes to S3', async () => {
    await using server = await startS3Server({ buckets: ['vectors', 'load'] })
    for (const [name, value] of Object.entries(server.env)) vi.stubEnv(name, value)
    await using source = await openStore('s3://vectors/wiki')
    const { manifest, ids, vectors } = await makeRun(source)
    await using target = await openStore('s3://load/hf')
    const outcome = await exportRun(source, manifest, target, { layout: 'hf' })
    expect(outcome.rows).toBe(ids.length)
    expect(outcome.loadCommands).toContain('s3://load/hf')
    expect((await target.head('data/train-00002-of-00003.parquet'))?.size).toBeGreaterThan(0)

    await putVersion(source, { version: 1, run: RUN, seq: 1, manifestSha256: '' })
    const found: string[] = []
    for await (const batch of readEmbeddings('s3://vectors/wiki')) found.push(...batch.ids)
    expect(found).toEqual(ids)
    for await (const batch of readEmbeddings(`s3://vectors/wiki/runs/${RUN}/data/`)) {
      expect(batch.vectors).toEqual(vectors.subarray(0, batch.vectors.length))
      break
    }
  })
})

describe('readEmbeddings', () => {
  it('returns ids, vectors and columns of the current version or of a run, one row group at a time', async () => {
    const output = join(folder, 'vectors')
    await using store = await openStore(output, { create: true })
    const { ids, vectors, extra } = await makeRun(store)
    await expect(readEmbeddings(output).next()).rejects.toThrow('nothing is published')
    await putVersion(store, { version: 1, run: RUN, seq: 1, manifestSha256: '' })
    expect((await readCurrentManifest(output)).model.id).toBe('BAAI/bge-base-en-v1.5')

    for (const url of [output, `${output}/`, `${output}/runs/${RUN}`, `file://${output}/runs/${RUN}/data`]) {
      let row = 0
      for await (const batch of readEmbeddings(url, { extra: true })) {
        expect(batch.ids.length).toBeLessThanOrEqual(37)
        expect(batch.ids).toEqual(ids.slice(row, row + batch.ids.length))
        expect(batch.vectors).toEqual(vectors.subarray(16 * row, 16 * (row + batch.ids.length)))
        expect(batch.dimensions).toBe(16)
        expect(batch.extra.get('year')).toEqual(extra.year?.slice(row, row + batch.ids.length))
        row += batch.ids.length
      }
      expect(row).toBe(300)
    }
    await expect(readEmbeddings(output, { run: 'b'.repeat(26) }).next()).rejects.toThrow(
      'is not finished, or does not exist',
    )
  })
})

describe('recall', () => {
  it('is 1 for lossless types, lower for fewer bits, and uses at most the given numbers of queries and documents', async () => {
    const store = memoryStore()
    const { manifest } = await makeRun(store, { dimensions: 64 })
    const measured = await measureRecall(store, manifest, { queries: 50, top: 5, documents: 250 })
    expect([measured.documents, measured.queries]).toEqual([250, 50])
    const of = (type: string): number =>
      measured.recalls.find(recall => recall.type === type)?.recall ?? Number.NaN
    expect(of('float16')).toBeGreaterThan(0.98)
    expect(of('int8')).toBeGreaterThan(0.9)
    expect(of('ubinary')).toBeLessThan(of('int8'))
    expect(of('ubinary, 4x rescored')).toBeGreaterThan(of('ubinary'))
    expect(of('float32, first 16 dimensions')).toBeLessThan(of('float32, first 32 dimensions'))
    expect(store.reads.some(({ key }) => key === shardKey(RUN, 2, 3))).toBe(true)
  })
})
