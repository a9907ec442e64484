// What is too large to be held, each with what must come of it and the memory that it may take.
// Sizes are those of the long form (`npm run caps`); the suite runs the same with smaller ones.

import { gzipSync, zstdCompressSync } from 'node:zlib'
import { readSlice } from '@reembed/corpus'
import { type Corpus, openCorpus, planRun, recordPlan } from '@reembed/planner'
import { enqueueMissing, finalize } from '@reembed/producer'
import {
  type ModelIdentity,
  type Plan,
  type Receipt,
  readCurrent,
  readPlan,
  readSeq,
  readSliceSegment,
  type SourceObject,
  shardsPresent,
  slicesPerSegment,
} from '@reembed/protocol'
import type { Job, Queue } from '@reembed/queue'
import { createShardWriter } from '@reembed/shard'
import { messageOf, planSegmentKey, seqKey, shardKey, shardPrefix, versionKey } from '@reembed/shared'
import type { ObjectInfo } from '@reembed/store'
import { type Computed, computedStore, joined, literal, repeated } from './store.ts'

export interface BoundCase {
  readonly name: string
  readonly what: string
  /** Bytes, documents or shards: what makes it large. */
  readonly size: number
  readonly short: number
  /** Peak memory of the process, in MiB. */
  readonly most: number
  /** What must come of it. */
  readonly outcome: RegExp
  /** What it reads, made in another process: what that takes does not count. */
  readonly made?: { readonly file: string; write(path: string, size: number): Promise<void> }
  /** @param path of what was made */
  run(size: number, path: string): Promise<string>
}

const MIB = 2 ** 20
const MODEL: ModelIdentity = { id: 'm', revision: 'r', dimensions: 768, pooling: 'mean', normalized: true }

/** Plans a corpus of one object and reads all of it, as workers would. */
async function readWhole(name: string, object: Computed): Promise<string> {
  const store = computedStore(key => (key === name ? object : undefined))
  const [format = ''] = /jsonl|csv/.exec(name) ?? []
  const compression = name.endsWith('.gz') ? 'gzip' : name.endsWith('.zst') ? 'zstd' : undefined
  const source = {
    key: name,
    size: object.size,
    etag: 'e',
    format,
    ...(compression && { compression }),
  } as SourceObject
  const corpus = {
    store,
    async *objects() {
      yield source
    },
    async [Symbol.asyncDispose]() {},
  }
  return readCorpus(corpus)
}

/** Every slice, or some from all over it. */
async function readCorpus(corpus: Corpus, most = Number.POSITIVE_INFINITY): Promise<string> {
  const found = { documents: 0, rejects: new Map<string, number>() }
  try {
    const { head, slices } = await planRun(corpus, { model: MODEL })
    const step = Math.max(1, Math.floor(head.shards / most))
    let shard = 0
    for await (const slice of slices()) {
      if (shard++ % step !== 0) continue
      const reader = readSlice(corpus.store, slice, { fields: head.recipe.fields })
      for await (const record of reader.records) {
        if (record.kind === 'document') found.documents += 1
        else found.rejects.set(record.reason, (found.rejects.get(record.reason) ?? 0) + 1)
      }
    }
  } catch (error) {
    return messageOf(error)
  }
  return `${found.documents} documents${[...found.rejects].map(([reason, count]) => `, ${count} ${reason}`).join('')}`
}

const line = (id: string, text: string): string => `${JSON.stringify({ id, text })}\n`
/** 512 lines. Sets of different numbers have different ids and the same length. */
const linesOf = (set: number): string =>
  Array.from({ length: 512 }, (_, i) =>
    line(`${String(set).padStart(8, '0')}-${i}`, `${i} `.repeat(400)),
  ).join('')
const LINES = Buffer.from(linesOf(0))
const OTHER_LINES = Buffer.from(linesOf(1))

/** Sets of lines, one after another, each with ids of its own. */
const manyLines = (size: number): Computed => repeated(LINES, size, set => Buffer.from(linesOf(set)))

/** Each slice reads the page or batch again: four of them show the memory that it needs. */
async function readSome(path: string): Promise<string> {
  await using corpus = await openCorpus(path)
  return readCorpus(corpus, 4)
}

/** A run of so many documents, 4,096 in a shard, of which every thousandth shard is missing. */
function syntheticRun(documents: number) {
  const shards = Math.ceil(documents / 4_096)
  const run = 's'.repeat(26)
  const bytes = 4_096 * 1_000
  const plan: Plan = {
    format: 1,
    run,
    seq: 1,
    spaceId: 'space',
    recipeId: 'recipe',
    source: 's3://corpus',
    recipe: {
      model: MODEL,
      prompt: '',
      fields: { id: 'id', text: 'text' },
      truncate: true,
      dtype: 'float32',
    },
    shards,
    slicesPerSegment: slicesPerSegment(shards, 1),
    objects: 1,
    bytes: shards * bytes,
    estimatedDocuments: documents,
    snapshotSha256: '0'.repeat(64),
    maxRejects: '1%',
  }
  const partOf = (shard: number) => ({
    key: 'corpus.jsonl',
    etag: 'e',
    size: shards * bytes,
    format: 'jsonl' as const,
    start: shard * bytes,
    end: (shard + 1) * bytes,
  })
  return { plan, partOf, isMissing: (shard: number) => shard % 1_000 === 7 }
}

/**
 * Plans a corpus of that size, then does what a sweep does when every thousandth shard is missing.
 */
async function resume(documents: number): Promise<string> {
  const { plan, partOf, isMissing } = syntheticRun(documents)
  const corpus = manyLines(documents * 1_000)
  const source = computedStore(() => corpus)
  const object = { key: 'corpus.jsonl', size: corpus.size, etag: 'e', format: 'jsonl' } as const
  const planned = await planRun(
    {
      store: source,
      async *objects() {
        yield object
      },
      async [Symbol.asyncDispose]() {},
    },
    { model: MODEL },
  )
  const segment = gzipSync(
    JSON.stringify(
      Array.from({ length: ((plan.shards - 1) % plan.slicesPerSegment) + 1 }, () => ({ parts: [partOf(0)] })),
    ),
  )
  const output = computedStore(
    key => (key.includes('/plan-') ? literalBytes(segment) : undefined),
    function* (prefix) {
      if (prefix !== shardPrefix(plan.run)) return
      for (let shard = 0; shard < plan.shards; shard += 1)
        if (!isMissing(shard)) yield { key: shardKey(plan.run, shard, plan.shards), size: 1, etag: 'e' }
    },
  )
  const { plan: recorded } = await recordPlan(output, planned).catch(() => ({ plan: planned.head }))
  let queued = 0
  const queue = {
    async add(jobs: readonly Job[]) {
      queued += jobs.length
      return jobs.length
    },
  } as unknown as Queue
  await enqueueMissing(queue, output, plan, await shardsPresent(output, plan))
  const segments = [...output.put.keys()].filter(key => key.includes('/plan-')).length
  return `${recorded.shards} shards planned in ${segments} segments, ${queued} of ${plan.shards} queued again`
}

/** Ends a run of so many shards, which are empty: what counts is that there are many. */
async function finish(shards: number): Promise<string> {
  const { plan, partOf } = syntheticRun(shards * 4_096)
  const { gzipSync: gzip } = await import('node:zlib')
  const segment = (number: number): Computed => {
    const rows = Array.from({ length: plan.slicesPerSegment }, (_, i) => number * plan.slicesPerSegment + i)
      .filter(shard => shard < plan.shards)
      .map(shard => ({ parts: [partOf(shard)] }))
    return literalBytes(gzip(JSON.stringify(rows)))
  }
  const made = new Map<string, Computed>()
  const shardAt = (key: string): Computed => {
    const known = made.get(key)
    if (known) return known
    const [, number = ''] = /part-(\d+)-of/.exec(key) ?? []
    const shard = literalBytes(emptyShard(plan, Number(number), partOf(Number(number))))
    made.set(key, shard)
    // A shard is asked for two or three times in a row.
    if (made.size > 64) made.delete(made.keys().next().value ?? '')
    return shard
  }
  const segments = new Map<string, Computed>()
  const store = computedStore(key => {
    if (key.endsWith('.parquet')) return shardAt(key)
    const [, number] = /plan-(\d+)\.json\.gz$/.exec(key) ?? []
    if (number === undefined || key !== planSegmentKey(plan.run, Number(number))) return undefined
    const known = segments.get(key) ?? segment(Number(number))
    segments.clear()
    segments.set(key, known)
    return known
  })
  await readSliceSegment(store, plan, 0)
  const { totals } = await finalize(store, plan)
  return `${totals.documents} documents = ${totals.rows} rows + ${totals.rejects} rejects in ${plan.shards} shards`
}

/** The message with which an object of an output is refused, or what was read of it. */
async function refusalOf(read: () => Promise<unknown>): Promise<string> {
  return read().then(
    value => `read ${JSON.stringify(value)}`.slice(0, 200),
    (error: unknown) => messageOf(error),
  )
}

/** A valid version, followed by so many spaces. */
const paddedVersion = (bytes: number): Computed => {
  const record = { format: 1, version: 1, run: 'r', seq: 1, manifestSha256: '0' }
  return joined(literal(JSON.stringify(record)), repeated(Buffer.alloc(MIB, ' '), bytes))
}

function* keysOf(count: number, key: (n: number) => string): Generator<ObjectInfo> {
  for (let n = 1; n <= count; n += 1) yield { key: key(n), size: 20, etag: 'e' }
}

const literalBytes = (bytes: Uint8Array): Computed => repeated(bytes, bytes.length)

function emptyShard(
  plan: Plan,
  shard: number,
  part: { key: string; etag: string; start: number; end: number },
): Buffer {
  const pieces: Buffer[] = []
  const writer = createShardWriter({ dimensions: 768, sink: bytes => pieces.push(Buffer.from(bytes)) })
  const facts: Parameters<typeof writer.finish>[0] = {
    run: plan.run,
    shard,
    shards: plan.shards,
    spaceId: plan.spaceId,
    recipeId: plan.recipeId,
    model: MODEL,
    source: [{ key: part.key, etag: part.etag, start: part.start, end: part.end, lines: 1 }],
    documents: 1,
    rejects: [
      {
        id: `${shard}`,
        reason: 'empty_text',
        message: 'the text is empty or only whitespace',
        position: { part: 0, offset: part.start, line: 1 },
      },
    ] satisfies Receipt['rejects'],
    tokens: 0,
    truncated: 0,
    repaired: 0,
  }
  writer.finish(facts)
  return Buffer.concat(pieces)
}

const ZEROS_BYTES = 64 * MIB

/** A compressed file of many members, each all zeros, behind some lines that are good. */
const bomb = (name: string, ratio: string, key: string, compress: (bytes: Buffer) => Buffer): BoundCase => ({
  name,
  what: `a ${name} file of ${ratio} that claims 100 GB`,
  size: 100e9,
  short: 1e9,
  most: 512,
  outcome: new RegExp(`^"${RegExp.escape(key)}" unpacks to more than 250 times its size`),
  run(size) {
    const member = compress(Buffer.alloc(ZEROS_BYTES))
    const members = repeated(member, Math.ceil(size / ZEROS_BYTES) * member.length)
    return readWhole(key, joined(literalBytes(compress(LINES)), members))
  },
})

/** Loaded where files are made, and nowhere else. */
const files = () => import('./files.ts')
/** 120,000 of them are just under the limit of a page and of a batch, 128 MiB. */
const PAGE_TEXT_BYTES = 1_118
const BATCH_TEXT_BYTES = 1_117

export const CASES: readonly BoundCase[] = [
  {
    name: 'lines',
    what: 'a JSONL file of 10 GB',
    size: 10e9,
    short: 300e6,
    most: 512,
    outcome: /^\d+ documents, 1 invalid_json$|^\d+ documents$/,
    run: size => readWhole('a.jsonl', manyLines(size)),
  },
  {
    name: 'line',
    what: 'a line of 1 GB between good ones',
    size: 1e9,
    short: 100e6,
    most: 512,
    outcome: /^1024 documents, 1 too_large$/,
    run: size =>
      readWhole(
        'a.jsonl',
        joined(
          literalBytes(LINES),
          literal('{"id":"long","text":"'),
          repeated(Buffer.alloc(MIB, 'y'), size),
          literal('"}\n'),
          literalBytes(OTHER_LINES),
        ),
      ),
  },
  bomb('gzip', '1,000:1', 'a.jsonl.gz', gzipSync),
  bomb('zstd', '10,000:1', 'a.jsonl.zst', zstdCompressSync),
  {
    name: 'quote',
    what: 'a CSV file of 10 GB whose quote never ends',
    size: 10e9,
    short: 100e6,
    most: 512,
    // The quote costs its line; each line after it is a row without the second field.
    outcome: /^1 documents, \d+ invalid_record$/,
    run: size =>
      readWhole(
        'a.csv',
        joined(literal('id,text\n1,one\n2,"'), repeated(Buffer.alloc(MIB, `${'y'.repeat(1023)}\n`), size)),
      ),
  },
  {
    name: 'resume',
    what: 'a plan of 10,000,000,000 documents, made and resumed',
    size: 10e9,
    short: 200e6,
    most: 256,
    outcome: /^\d+ shards planned in \d+ segments, \d+ of \d+ queued again$/,
    run: resume,
  },
  {
    name: 'finish',
    what: 'a run of 100,000 shards, ended',
    size: 100_000,
    short: 1_500,
    most: 256,
    outcome: /^(\d+) documents = 0 rows \+ \1 rejects in \1 shards$/,
    run: finish,
  },
  {
    name: 'record',
    what: 'a version of 3 GB in an output',
    size: 3e9,
    short: 100e6,
    most: 192,
    outcome: /^versions\/\d+\.json in computed has more than 16777216 bytes, which nothing of its kind has/,
    run: size =>
      refusalOf(() =>
        readCurrent(
          computedStore(
            () => paddedVersion(size),
            () => keysOf(1, versionKey),
          ),
        ),
      ),
  },
  {
    name: 'rows',
    what: 'a segment of slices that unpacks to 2 GB',
    size: 2e9,
    short: 300e6,
    most: 512,
    outcome: /^runs\/.*\/plan-00000\.json\.gz in computed has more than 134217728 bytes/,
    made: {
      file: 'segment.gz',
      write: async (path, size) => {
        const { pipeline } = await import('node:stream/promises')
        const { createGzip } = await import('node:zlib')
        const { createWriteStream } = await import('node:fs')
        const json = joined(literal('['), repeated(Buffer.alloc(MIB, ' '), size), literal(']'))
        await pipeline(json.read(0, json.size), createGzip({ level: 1 }), createWriteStream(path))
      },
    },
    async run(_, path) {
      const { readFile } = await import('node:fs/promises')
      const packed = literalBytes(await readFile(path))
      const { plan } = syntheticRun(4_096)
      return refusalOf(() =>
        readSliceSegment(
          computedStore(() => packed),
          plan,
          0,
        ),
      )
    },
  },
  {
    name: 'depth',
    what: 'a version of 10,000,000 nested arrays',
    size: 10_000_000,
    short: 1_000_000,
    most: 192,
    outcome: /^versions\/\d+\.json in computed is damaged: it is not the JSON that reembed wrote$/,
    run: size =>
      refusalOf(() =>
        readCurrent(
          computedStore(
            () => joined(literal('{"a":'), repeated(Buffer.alloc(MIB, '['), size)),
            () => keysOf(1, versionKey),
          ),
        ),
      ),
  },
  {
    name: 'sequence',
    what: 'an output with 10,000,000 sequence numbers',
    size: 10_000_000,
    short: 200_000,
    most: 256,
    outcome: /^computed has more than 100000 objects below seq\/, which no history of runs has/,
    run: size =>
      refusalOf(() =>
        readSeq(
          computedStore(
            () => literal('{"format":1,"run":"r"}'),
            () => keysOf(size, seqKey),
          ),
        ),
      ),
  },
  {
    name: 'shards',
    what: 'a plan that states 300,000,000 shards, and one that states ten million without slices',
    size: 300_000_000,
    short: 300_000_000,
    most: 256,
    outcome:
      /^runs\/.*plan\.json in computed is not a plan .*: shards is invalid; .*plan-\d+\.json\.gz.*; 0 jobs$/,
    async run(size) {
      const { plan } = syntheticRun(4_096)
      const huge = literal(JSON.stringify({ ...plan, shards: size }))
      const refused = await refusalOf(() =>
        readPlan(
          computedStore(() => huge),
          plan.run,
        ),
      )
      let jobs = 0
      const queue = { add: async (added: readonly Job[]) => (jobs += added.length) } as unknown as Queue
      const empty = { ...plan, shards: 10_000_000 }
      const missing = await refusalOf(() =>
        enqueueMissing(
          queue,
          computedStore(() => undefined),
          empty,
          new Uint32Array(empty.shards),
        ),
      )
      return `${refused}; ${missing}; ${jobs} jobs`
    },
  },
  {
    name: 'page',
    what: 'a Parquet page of 128 MiB, 120,000 texts',
    size: 120_000,
    short: 15_000,
    most: 512,
    outcome: /^[1-9]\d* documents$/,
    made: {
      file: 'a.parquet',
      write: async (path, rows) => (await files()).writeTexts(path, rows, rows * PAGE_TEXT_BYTES),
    },
    run: (_, path) => readSome(path),
  },
  {
    name: 'texts',
    what: 'a Parquet page of 1 Mi texts, 32 MiB',
    size: MIB,
    short: MIB / 8,
    most: 512,
    outcome: /^[1-9]\d* documents$/,
    made: {
      file: 'a.parquet',
      write: async (path, rows) => (await files()).writeTexts(path, rows, rows * 32),
    },
    run: (_, path) => readSome(path),
  },
  {
    name: 'nulls',
    what: 'a Parquet page of 4 Mi nulls beside one of 4 Mi numbers',
    size: 4 * MIB,
    short: MIB,
    most: 512,
    outcome: /^1 documents, [1-9]\d* missing_text$/,
    made: { file: 'a.parquet', write: async (path, rows) => (await files()).writeNulls(path, rows) },
    run: (_, path) => readSome(path),
  },
  {
    name: 'batch',
    what: 'an Arrow batch of 128 MiB, 120,000 texts',
    size: 120_000,
    short: 15_000,
    most: 512,
    outcome: /^[1-9]\d* documents$/,
    made: {
      file: 'a.arrow',
      write: async (path, rows) => (await files()).writeBatch(path, rows, rows * BATCH_TEXT_BYTES),
    },
    run: (_, path) => readSome(path),
  },
]
