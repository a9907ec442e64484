// A run of any number of documents whose objects are made as they are read: its plan, and shards
// with real ids, receipts and footers. Shards have the rows and the row groups of 384 dimensions,
// and vectors of eight, the same in each shard. The id pages are zstd frames that are not
// compressed, so that the sizes in the footers stay the same.

import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import type { Corpus } from '@reembed/planner'
import {
  type ModelIdentity,
  type Plan,
  recipeIdOf,
  type SlicePart,
  slicesPerSegment,
  spaceIdOf,
} from '@reembed/protocol'
import { createShardWriter, readFooter } from '@reembed/shard'
import { planKey, seqKey, sha256, shardKey, shardOfKey, shardPrefix } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { type Computed, computedStore, repeated } from '../../test/bounds/store.ts'

const ROWS = Math.floor((64 * 2 ** 20) / (384 * 4))
const ROW_GROUP_ROWS = 4 * Math.floor(2 ** 20 / (384 * 4))
/** Bytes of a line of the corpus. */
const LINE = 1_000
const KEY = 'corpus.jsonl'
const DIMENSIONS = 8
/** Only the shards that `verify --part 1/64` reads whole have the hash of their body. */
export const PARTS = 64

const MODEL: ModelIdentity = {
  id: 'bench',
  revision: 'r',
  dimensions: DIMENSIONS,
  pooling: 'mean',
  normalized: true,
}

export interface SyntheticRun {
  readonly plan: Plan
  readonly store: Store
  /** Seconds that this process has spent making shards. */
  madeSeconds(): number
}

/** A corpus of one object with so many lines. */
export function syntheticCorpus(documents: number): Corpus {
  const lineOf = (i: number): Buffer =>
    Buffer.from(
      `${JSON.stringify({ id: `doc-${i}`, text: `document ${i} ` })
        .slice(0, -2)
        .padEnd(LINE - 3, 'x')}"}\n`,
    )
  const object = repeated(lineOf(0), documents * LINE, lineOf)
  return {
    store: computedStore(key => (key === KEY ? object : undefined)),
    async *objects() {
      yield { key: KEY, size: object.size, etag: 'e', format: 'jsonl' }
    },
    async [Symbol.asyncDispose]() {},
  }
}

export async function syntheticRun(documents: number): Promise<SyntheticRun> {
  const shards = Math.ceil(documents / ROWS)
  const run = 's'.repeat(26)
  const recipe: Plan['recipe'] = {
    model: MODEL,
    prompt: '',
    fields: { id: 'id', text: 'text' },
    truncate: true,
    dtype: 'float32',
  }
  const size = shards * ROWS * LINE
  const plan: Plan = {
    format: 1,
    run,
    seq: 1,
    spaceId: spaceIdOf(MODEL),
    recipeId: recipeIdOf(recipe),
    source: 's3://corpus',
    recipe,
    shards,
    slicesPerSegment: slicesPerSegment(shards, 1),
    objects: 1,
    bytes: size,
    estimatedDocuments: shards * ROWS,
    snapshotSha256: '0'.repeat(64),
    maxRejects: '1%',
  }
  const partOf = (shard: number): SlicePart => ({
    key: KEY,
    etag: 'e',
    size,
    format: 'jsonl',
    start: shard * ROWS * LINE,
    end: (shard + 1) * ROWS * LINE,
  })
  const { shardAt, size: shardBytes, madeSeconds } = await shardMaker(plan, partOf)
  const objectAt = (key: string) => {
    const shard = shardOfKey(key, run, shards)
    if (shard !== undefined) {
      return shardAt(shard)
    }
    const json = otherObject(key)
    return json && repeated(json, json.length)
  }
  function otherObject(key: string): Buffer | undefined {
    if (key === planKey(run)) return Buffer.from(JSON.stringify(plan))
    if (key === seqKey(1)) return Buffer.from(JSON.stringify({ format: 1, seq: 1, run }))
    const [, segment] = /plan-(\d+)\.json\.gz$/.exec(key) ?? []
    if (segment === undefined) return undefined
    const first = Number(segment) * plan.slicesPerSegment
    const count = Math.min(plan.slicesPerSegment, shards - first)
    return gzipSync(JSON.stringify(Array.from({ length: count }, (_, i) => ({ parts: [partOf(first + i)] }))))
  }
  const store = computedStore(objectAt, function* (prefix) {
    if (prefix === 'seq/') yield { key: seqKey(1), size: 1, etag: 'e' }
    if (!shardPrefix(run).startsWith(prefix)) return
    for (let shard = 0; shard < shards; shard += 1)
      yield { key: shardKey(run, shard, shards), size: shardBytes, etag: 'e' }
  })
  return { plan, store, madeSeconds }
}

/** Makes shards of one template: writes the number of the shard into the bytes that are read. */
async function shardMaker(plan: Plan, partOf: (shard: number) => SlicePart) {
  const last = plan.shards - 1
  const template = templateShard(plan, partOf(last))
  const store = computedStore(() => repeated(template, template.length))
  const { rowGroups, footerStart, receipt } = await readFooter(store, shardKey(plan.run, last, plan.shards))
  /** Where the first id of each row group is. */
  const groups = rowGroups.map(({ id, rows }) => {
    const body = template.indexOf(ZSTD_MAGIC, id.start)
    writeIdPage(template, { start: body, end: id.end }, rows)
    return { start: id.start, end: id.end, ids: body + FRAME_HEAD + 4, rows }
  })
  let row = 0
  for (const { ids, rows } of groups) {
    for (let at = ids; at < ids + rows * (4 + ID); at += 4 + ID)
      template.write(String(row++).padStart(ID, '0'), at, 'latin1')
  }
  const numbers = (
    [
      ['"shard":', shard => shard],
      ['"start":', shard => partOf(shard).start],
      ['"end":', shard => partOf(shard).end],
    ] as [string, (shard: number) => number][]
  ).map(([name, of]) => {
    const at = template.indexOf(name, footerStart) + name.length - footerStart
    return { at, width: String(of(last)).length, of }
  })
  const bodyAt = template.indexOf(receipt.bodySha256, footerStart) - footerStart
  const hashAt = template.indexOf(FOOTER_HASH, footerStart) + FOOTER_HASH.length + 2 - footerStart

  function footerOf(shard: number): Buffer {
    const footer = Buffer.from(template.subarray(footerStart))
    for (const { at, width, of } of numbers) footer.write(String(of(shard)).padStart(width), at, 'latin1')
    if (shard % PARTS === 0) footer.write(sha256(bodyOf(shard, 0, footerStart)), bodyAt, 'latin1')
    footer.fill('0', hashAt, hashAt + 64)
    footer.write(sha256(footer.subarray(0, -8)), hashAt, 'latin1')
    return footer
  }

  function bodyOf(shard: number, start: number, end: number): Buffer {
    const bytes = Buffer.from(template.subarray(start, end))
    const digits = Buffer.from(String(shard).padStart(SHARD_DIGITS, '0'))
    for (const { start: first, end: after, ids, rows } of groups) {
      if (after <= start || first >= end) continue
      for (let at = ids - start; at < ids - start + rows * (4 + ID); at += 4 + ID)
        for (let digit = 0; digit < SHARD_DIGITS; digit += 1) bytes[at + digit] = digits[digit] ?? 0
    }
    return bytes
  }

  let madeMs = 0
  const shardAt = (shard: number): Computed => ({
    size: template.length,
    *read(start, end) {
      const startedMs = performance.now()
      const pieces = [
        bodyOf(shard, start, Math.min(end, footerStart)),
        end > footerStart
          ? footerOf(shard).subarray(Math.max(0, start - footerStart), end - footerStart)
          : Buffer.of(),
      ]
      madeMs += performance.now() - startedMs
      yield* pieces
    },
  })
  return { shardAt, size: template.length, madeSeconds: () => madeMs / 1000 }
}

/** Bytes of an id: the digits of the shard, then those of the row. */
const ID = 12
const SHARD_DIGITS = 6
const ZSTD_MAGIC = Buffer.of(0x28, 0xb5, 0x2f, 0xfd)
/** Bytes of the header of a frame that states its size in four bytes, and of a block. */
const FRAME_HEAD = 9 + 3
/** Readers of zstd skip a frame with this magic number (RFC 8878). */
const SKIPPABLE_MAGIC = 0x184d2a50
const FOOTER_HASH = 'reembed.footer_sha256'

/** A frame of one raw block of ids, then a frame that is skipped. */
function writeIdPage(file: Buffer, { start, end }: { start: number; end: number }, rows: number): void {
  const size = rows * (4 + ID)
  // Frame header of RFC 8878: a single segment, its size in four bytes.
  file[start + 4] = 0xa0
  file.writeUInt32LE(size, start + 5)
  // The last block, raw.
  file.writeUIntLE(1 | (size << 3), start + 9, 3)
  for (let row = 0; row < rows; row += 1) file.writeUInt32LE(ID, start + FRAME_HEAD + row * (4 + ID))
  const skipped = start + FRAME_HEAD + size
  file.writeUInt32LE(SKIPPABLE_MAGIC, skipped)
  file.writeUInt32LE(end - skipped - 8, skipped + 4)
}

/** The last shard, written by the writer, with ids so long that all others fit in their pages. */
function templateShard(plan: Plan, part: SlicePart): Buffer {
  const pieces: Buffer[] = []
  const writer = createShardWriter({
    dimensions: DIMENSIONS,
    sink: bytes => pieces.push(Buffer.from(bytes)),
    rowGroupRows: ROW_GROUP_ROWS,
  })
  const vectors = Float32Array.from({ length: ROWS * DIMENSIONS }, () => Math.random() - 0.5)
  for (let row = 0; row < ROWS; row += 1) {
    const vector = vectors.subarray(row * DIMENSIONS, (row + 1) * DIMENSIONS)
    const length = Math.hypot(...vector)
    for (const [i, value] of vector.entries()) vector[i] = value / length
  }
  writer.append({
    ids: Array.from({ length: ROWS }, () => randomBytes(20).toString('hex')),
    hashes: randomBytes(16 * ROWS),
    vectors,
  })
  writer.finish({
    run: plan.run,
    shard: plan.shards - 1,
    shards: plan.shards,
    spaceId: plan.spaceId,
    recipeId: plan.recipeId,
    model: MODEL,
    source: [{ key: part.key, etag: part.etag, start: part.start, end: part.end, lines: ROWS }],
    documents: ROWS,
    rejects: [],
    tokens: ROWS,
    truncated: 0,
    repaired: 0,
  })
  return Buffer.concat(pieces)
}
