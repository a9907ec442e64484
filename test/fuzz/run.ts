// A finished run in memory, made by the product's own functions with vectors that anyone can
// compute, and what can be done to its objects.

import { createHash } from 'node:crypto'
import { readSlice } from '@reembed/corpus'
import { type Corpus, planRun, recordPlan } from '@reembed/planner'
import { finalize, publish } from '@reembed/producer'
import {
  type ModelIdentity,
  type Plan,
  type RejectRow,
  readSlices,
  type SourceObject,
} from '@reembed/protocol'
import {
  contentHashOf,
  createShardWriter,
  encodeHashes,
  extraColumns,
  extraValues,
  readIds,
  readShard,
} from '@reembed/shard'
import { shardKey } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { resigned } from '../parts/resigned.ts'
import { memoryStore } from './target.ts'

const DIMENSIONS = 4
const MODEL: ModelIdentity = {
  id: 'm',
  revision: 'r',
  dimensions: DIMENSIONS,
  pooling: 'mean',
  normalized: true,
}

export interface MadeRun {
  readonly run: string
  /** Every object that the run wrote, and its version. */
  readonly objects: ReadonlyMap<string, Buffer>
}

function vectorOf(text: string): number[] {
  const bytes = createHash('sha256').update(text).digest()
  const values = Array.from({ length: DIMENSIONS }, (_, i) => bytes.readInt16LE(2 * i) || 1)
  const norm = Math.hypot(...values)
  return values.map(value => value / norm)
}

const corpusOf = (texts: readonly string[]): Buffer =>
  Buffer.from(texts.map((text, i) => `${JSON.stringify({ id: `d${i}`, text, n: i })}\n`).join(''))

/** Plans, writes each shard, finalizes and publishes. An empty text becomes a reject. */
export async function makeRun(texts: readonly string[]): Promise<MadeRun> {
  const body = corpusOf(texts)
  const source = memoryStore(new Map([['a.jsonl', body]]))
  const object: SourceObject = { key: 'a.jsonl', size: body.length, etag: 'e', format: 'jsonl' }
  const corpus: Corpus = {
    store: source,
    async *objects() {
      yield object
    },
    async [Symbol.asyncDispose]() {},
  }
  const layout = { carry: [{ name: 'n', type: 'int64' as const }] }
  const planned = await planRun(corpus, { model: MODEL, documentsPerShard: 4, layout })
  const store = memoryStore(new Map())
  const { plan } = await recordPlan(store, planned)
  let shard = 0
  for await (const slice of readSlices(store, plan)) {
    await writeShard(store, source, plan, slice, shard)
    shard += 1
  }
  const manifest = await finalize(store, plan)
  await publish(store, manifest, { ...plan, maxRejects: '100%' })
  const objects = new Map<string, Buffer>()
  for await (const { key } of store.list('')) objects.set(key, Buffer.from(await store.get(key)))
  return { run: plan.run, objects }
}

async function writeShard(
  store: Store,
  source: Store,
  plan: Plan,
  slice: Parameters<typeof readSlice>[1],
  shard: number,
): Promise<void> {
  const reader = readSlice(source, slice, { fields: plan.recipe.fields, carry: plan.layout?.carry })
  const records = await Array.fromAsync(reader.records)
  const documents = records.flatMap(one => (one.kind === 'document' && one.text !== '' ? [one] : []))
  const rejects: RejectRow[] = records.flatMap(one => {
    const { id, position } = one
    if (one.kind === 'document' && one.text !== '') return []
    return [
      {
        ...(id !== undefined && { id }),
        reason: 'empty_text' as const,
        message: 'the text is empty',
        position,
      },
    ]
  })
  const pieces: Buffer[] = []
  const writer = createShardWriter({
    dimensions: DIMENSIONS,
    extra: extraColumns(plan.layout),
    rowGroupRows: 3,
    sink: bytes => pieces.push(Buffer.from(bytes)),
  })
  writer.append({
    ids: documents.map(({ id }) => id),
    hashes: encodeHashes(documents.map(({ text }) => contentHashOf(text))),
    vectors: Float32Array.from(documents.flatMap(({ text }) => vectorOf(text))),
    extra: extraValues(documents, plan.layout),
  })
  writer.finish({
    run: plan.run,
    shard,
    shards: plan.shards,
    spaceId: plan.spaceId,
    recipeId: plan.recipeId,
    model: plan.recipe.model,
    source: reader.rangesRead,
    documents: records.length,
    rejects,
    tokens: documents.length,
    truncated: 0,
    repaired: 0,
  })
  await store.putIfAbsent(shardKey(plan.run, shard, plan.shards), Buffer.concat(pieces))
}

/** The objects after damage that the choices tell: each takes six bytes of them. */
export function damaged(objects: ReadonlyMap<string, Buffer>, input: Buffer): Map<string, Buffer> {
  const keys = [...objects.keys()].sort()
  const found = new Map(objects)
  for (let at = 0; at + 6 <= input.length && at < 60; at += 6) {
    const [which = 0, kind = 0, high = 0, low = 0, value = 0, more = 0] = input.subarray(at, at + 6)
    const key = keys[which % keys.length] ?? ''
    const other = keys[more % keys.length] ?? ''
    const bytes = Buffer.from(found.get(key) ?? '')
    const place = bytes.length === 0 ? 0 : (256 * high + low) % bytes.length
    switch (kind % 10) {
      case 0:
        bytes[place] = (bytes[place] ?? 0) ^ (1 << (value % 8))
        found.set(key, bytes)
        break
      case 1:
        bytes[place] = value
        found.set(key, bytes)
        break
      case 2:
        found.set(key, bytes.subarray(0, place))
        break
      case 3:
        found.delete(key)
        break
      case 4:
        found.set(key, Buffer.from(found.get(other) ?? ''))
        break
      case 5: {
        found.set(key, Buffer.from(found.get(other) ?? ''))
        found.set(other, bytes)
        break
      }
      case 6:
        found.set(key, Buffer.concat([bytes, input.subarray(at)]))
        break
      case 7:
        found.set(key, Buffer.concat([bytes.subarray(0, place), bytes.subarray(place + value)]))
        break
      case 8:
        found.set(`${key}${value % 2 === 0 ? '' : '.parquet'}${value}`, bytes)
        break
      case 9:
        found.set(key, withNumber(bytes, place, value, more))
    }
  }
  return found
}

/** Another number in a piece of JSON. */
function withNumber(bytes: Buffer, place: number, value: number, more: number): Buffer {
  const text = bytes.toString('latin1')
  const found = [...text.matchAll(/(?<=[:,[])-?\d+(?=[,}\]])/g)]
  const one = found[(place + more) % Math.max(1, found.length)]
  if (one === undefined) return bytes
  const number = NUMBERS[value % NUMBERS.length] ?? String(value)
  return Buffer.from(text.slice(0, one.index) + number + text.slice(one.index + one[0].length), 'latin1')
}

const NUMBERS = [
  '0',
  '-1',
  '1',
  '2',
  '1e9',
  '1e400',
  '0.5',
  'null',
  '"1"',
  '[]',
  '{}',
  'true',
  '9007199254740993',
  '',
]

/** Ids, vectors and carried values of all rows, as one hash. */
export async function contentOf(store: Store, plan: Plan): Promise<string> {
  const hash = createHash('sha256')
  for (let shard = 0; shard < plan.shards; shard += 1) {
    const key = shardKey(plan.run, shard, plan.shards)
    const ids = await readIds(store, key)
    for await (const batch of readShard(store, key, { extra: true })) {
      hash.update(batch.ids.join('\n'))
      hash.update(batch.vectors).update(batch.hashes)
      hash.update([...batch.extra].map(([name, values]) => `${name} ${values.join(' ')}`).join('\n'))
    }
    hash.update(`${ids.length} ${ids.join('\n')}`)
  }
  return hash.digest('hex')
}

/** `resigned`, for every shard of a run. */
export const resignedAll = (objects: ReadonlyMap<string, Buffer>): Map<string, Buffer> =>
  new Map([...objects].map(([key, bytes]) => [key, key.endsWith('.parquet') ? resigned(bytes) : bytes]))
