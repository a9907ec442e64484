// The part of a run that a consumer lacks which holds an earlier run: rows that were added or
// changed, and the ids of the rows to delete first. Without an earlier run it is the whole run.

import type { Changes } from '@reembed/evaluate'
import type { Manifest } from '@reembed/protocol'
import type { ShardBatch } from '@reembed/shard'
import type { Store } from '@reembed/store'
import { type RowsOptions, type RunShard, rowsOf, shardsOf } from './read-run.ts'

/** A shard with rows to write. */
export interface ExportedShard {
  readonly whole: RunShard
  /** The shard with the number of rows that are written. */
  readonly written: RunShard
  /** A byte for each row, 0 for one that is not written; undefined for all rows. */
  readonly marks: Uint8Array | undefined
}

/**
 * Yields the shards with rows to write, in order.
 * @param fewer the marks of shards of which fewer rows are written
 */
export async function* exportedShards(
  source: Store,
  manifest: Manifest,
  changes: Pick<Changes, 'marks'> | undefined,
  fewer?: ReadonlyMap<number, Uint8Array>,
): AsyncGenerator<ExportedShard, void, undefined> {
  for await (const whole of shardsOf(source, manifest)) {
    const marks = fewer?.get(whole.shard) ?? changes?.marks[whole.shard]
    if (marks === undefined) {
      if (changes === undefined) yield { whole, written: whole, marks: undefined }
    } else {
      const rows = marks.reduce((sum, mark) => sum + (mark === 0 ? 0 : 1), 0)
      if (rows > 0) yield { whole, written: { ...whole, rows }, marks }
    }
  }
}

/** The rows of a shard to write; see `rowsOf`. */
export async function* exportedRows(
  source: Store,
  { whole, marks }: ExportedShard,
  options: RowsOptions,
): AsyncGenerator<ShardBatch, void, undefined> {
  let row = 0
  for await (const batch of rowsOf(source, whole, options)) {
    const { length } = batch.ids
    const selected = marks ? selectRows(batch, marks.subarray(row, row + length)) : batch
    row += length
    if (selected.ids.length > 0) yield selected
  }
}

function selectRows({ ids, hashes, vectors, extra }: ShardBatch, marks: Uint8Array): ShardBatch {
  const rows = Array.from(marks.keys()).filter(row => marks[row] !== 0)
  const pick = <T>(values: readonly T[]): T[] => values.filter((_, row) => marks[row] !== 0)
  const [hashWidth, width] = [hashes.length / ids.length, vectors.length / ids.length]
  const picked = {
    hashes: new Uint8Array(rows.length * hashWidth),
    vectors: new Float32Array(rows.length * width),
  }
  for (const [to, row] of rows.entries()) {
    picked.hashes.set(hashes.subarray(row * hashWidth, (row + 1) * hashWidth), to * hashWidth)
    picked.vectors.set(vectors.subarray(row * width, (row + 1) * width), to * width)
  }
  const columns = Array.from(extra, ([name, values]) => [name, pick(values)] as const)
  return { ids: pick(ids), ...picked, extra: new Map(columns) }
}

/** Ids in one file of deletes: some MiB. */
const DELETES_PER_FILE = 100_000

/** Writes the ids of changed and removed rows, one JSON object a line. Returns their number. */
export async function writeDeletes(target: Store, changes: Changes): Promise<number> {
  let [count, file] = [0, 0]
  let lines: string[] = []
  const write = async (): Promise<void> => {
    const name = `deletes/${String(file++).padStart(5, '0')}.jsonl`
    await target.putIfAbsent(name, Buffer.from(lines.join('')))
    lines = []
  }
  for await (const { change, id } of changes.rows()) {
    if (change === 'added') continue
    lines.push(`${JSON.stringify({ id })}\n`)
    count += 1
    if (lines.length === DELETES_PER_FILE) await write()
  }
  if (lines.length > 0) await write()
  return count
}
