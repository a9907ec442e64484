// A finished run for export tests, created without a model: shards of generated rows with columns
// of every type, and a manifest.

import type { CarriedValue, Manifest, ManifestShard } from '@reembed/protocol'
import { createShardBuffer, createShardWriter, extraColumns } from '@reembed/shard'
import { manifestKey, manifestSegmentKey, sha256, shardKey } from '@reembed/shared'
import { putJson, putRows, type Store } from '@reembed/store'
import { factsOf, makeRows } from '../shard/parts.ts'

export const RUN = 'abcdefghijklmnopqrstuvwxyz'

export interface MadeRun {
  readonly manifest: Manifest
  readonly ids: readonly string[]
  readonly vectors: Float32Array
  readonly extra: Record<string, readonly CarriedValue[]>
}

const LAYOUT = {
  carry: [
    { name: 'lang', type: 'string' },
    { name: 'year', type: 'int32' },
    { name: 'bytes', type: 'int64' },
    { name: 'score', type: 'double' },
    { name: 'draft', type: 'boolean' },
  ],
  text: true,
} as const

/** Every column contains nulls; `bytes` contains values above 2^53. */
function extraOf(
  ids: readonly string[],
  more: readonly string[],
  places: readonly number[] = [...ids.keys()],
): Record<string, readonly CarriedValue[]> {
  const columns = columnsOf(places.reduce((most, place) => Math.max(most, place), 0) + 1, more)
  return {
    ...Object.fromEntries(
      Object.entries(columns).map(([name, values]) => [name, places.map(place => values[place] ?? null)]),
    ),
    text: ids.map(id => `Text of ${id}, "with" \\ and é`),
  }
}

function columnsOf(rows: number, more: readonly string[]): Record<string, readonly CarriedValue[]> {
  const ids = Array.from({ length: rows })
  return {
    lang: ids.map((_, i) => (i % 4 === 0 ? null : ['en', 'de', 'zh "quoted"\n'][i % 3]) ?? null),
    year: ids.map((_, i) => (i % 5 === 0 ? null : 1900 + i)),
    bytes: ids.map((_, i) => (i % 7 === 0 ? null : i % 3 === 0 ? 2n ** 60n + BigInt(i) : i)),
    score: ids.map((_, i) => (i % 6 === 0 ? null : i / 8)),
    draft: ids.map((_, i) => (i % 3 === 0 ? null : i % 2 === 0)),
    ...Object.fromEntries(more.map(name => [name, ids.map((_, i) => `https://a.b/${i}`)])),
  }
}

function laterRows(
  { rows, changed }: { readonly rows: readonly number[]; readonly changed: ReadonlySet<number> },
  dimensions: number,
): ReturnType<typeof makeRows> {
  const all = makeRows({ rows: rows.reduce((most, row) => Math.max(most, row), 0) + 1, dimensions })
  const pick = <T extends Uint8Array | Float32Array>(from: T, width: number, sign: number): T => {
    const picked = from.slice(0, rows.length * width) as T
    for (const [to, row] of rows.entries())
      for (let i = 0; i < width; i++) {
        const value = from[row * width + i] ?? 0
        picked[to * width + i] = changed.has(row) ? sign * value - (sign === 1 ? 1 : 0) : value
      }
    return picked
  }
  return {
    ids: rows.map(row => all.ids[row] ?? ''),
    hashes: pick(all.hashes, 16, 1),
    vectors: pick(all.vectors, dimensions, -1),
  }
}

export async function makeRun(
  store: Store,
  {
    run = RUN,
    shards = 3,
    rows = 100,
    dimensions = 16,
    rowGroupRows = 37,
    more = [],
    edit = () => ({}),
    later,
  }: {
    run?: string
    shards?: number
    rows?: number
    dimensions?: number
    rowGroupRows?: number
    /** Additional string columns. */
    more?: readonly string[]
    /** Replaces id and text of a row. */
    edit?: (row: number) => { readonly id?: string; readonly text?: string; readonly lang?: string }
    /**
     * Makes the run that follows `from`, with these of its rows: those in `changed` have another
     * text and vector.
     */
    later?: { readonly from: string; readonly rows: readonly number[]; readonly changed: ReadonlySet<number> }
  } = {},
): Promise<MadeRun> {
  const {
    ids: made,
    hashes,
    vectors,
  } = later ? laterRows(later, dimensions) : makeRows({ rows: shards * rows, dimensions })
  const ids = made.map((id, row) => edit(row).id ?? id)
  const plain = extraOf(ids, more, later?.rows)
  const extra: Record<string, readonly CarriedValue[]> = {
    ...plain,
    text: ids.map((_, row) => edit(row).text ?? plain.text?.[row] ?? null),
    lang: ids.map((_, row) => edit(row).lang ?? plain.lang?.[row] ?? null),
  }
  const layout = {
    ...LAYOUT,
    carry: [...LAYOUT.carry, ...more.map(name => ({ name, type: 'string' }) as const)],
  }
  const listed: ManifestShard[] = []
  for (let shard = 0; shard < shards; shard++) {
    const [from, to] = [shard * rows, (shard + 1) * rows]
    const { sink, bytes } = createShardBuffer()
    const writer = createShardWriter({ dimensions, extra: extraColumns(layout), rowGroupRows, sink })
    writer.append({
      ids: ids.slice(from, to),
      hashes: hashes.subarray(16 * from, 16 * to),
      vectors: vectors.subarray(dimensions * from, dimensions * to),
      extra: Object.values(extra).map(values => values.slice(from, to)),
    })
    const { receipt } = writer.finish({ ...factsOf(rows, dimensions), run, shard, shards })
    const key = shardKey(run, shard, shards)
    await store.putIfAbsent(key, bytes())
    const { tokens, bodySha256 } = receipt
    listed.push({ key, bytes: bytes().length, rows, rejects: 0, tokens, bodySha256 })
  }
  const manifest: Manifest = {
    format: 1,
    run,
    seq: 1,
    spaceId: 'space',
    recipeId: 'recipe',
    source: 's3://corpora/wiki/',
    ...(later && { baseRun: { run: later.from, removedRows: null } }),
    model: factsOf(rows, dimensions).model,
    prompt: '',
    fields: { id: 'id', text: 'text' },
    layout,
    shards,
    shardsPerSegment: 2,
    totals: {
      documents: ids.length,
      rows: ids.length,
      rejects: 0,
      tokens: 1,
      bytes: 1,
      truncated: 0,
      repaired: 0,
    },
    rejectReasons: {},
    shardsSha256: sha256(listed.map(({ key, bodySha256 }) => key + bodySha256).join()),
  }
  for (let segment = 0; segment * 2 < shards; segment++) {
    await putRows(store, manifestSegmentKey(run, segment), listed.slice(segment * 2, segment * 2 + 2))
  }
  await putJson(store, manifestKey(run), manifest)
  return { manifest, ids, vectors, extra }
}
