// The rows of a run that a consumer cannot store: found in all rows before the first file is
// written. They refuse the export, or are left out of it and listed below `refused/`.

import type { Changes } from '@reembed/evaluate'
import type { Manifest } from '@reembed/protocol'
import { createOffenders } from '@reembed/shard'
import { mapConcurrent } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { type ExportedShard, exportedShards } from './delta.ts'
import { metadataOf, type RowLimits } from './layout.ts'
import { columnsUnder, type RowsOptions, rowsOf } from './read-run.ts'
import { problemOf } from './row-limits.ts'

export interface CheckedRun {
  readonly source: Store
  readonly manifest: Manifest
  readonly limits: RowLimits
  readonly rows: RowsOptions
  readonly changes: Changes | undefined
  readonly signal: AbortSignal | undefined
}

/** Shards checked concurrently. Each holds one row group in memory. */
const SHARDS_AT_ONCE = 2

/** @throws ReembedError USAGE if the consumer cannot store a row of those that are written */
export async function requireRowsFit(run: CheckedRun): Promise<void> {
  const offenders = createOffenders(run.limits.consumer)
  for await (const { refused } of checkedShards(run))
    for (const { id, problem } of refused) offenders.add(id, problem)
  offenders.throwIfAny()
}

/** What an export leaves out. */
export interface RefusedRows {
  readonly count: number
  /** By shard that has refused rows: a byte for each row, 0 for one that is not written. */
  readonly marks: ReadonlyMap<number, Uint8Array>
}

/** Lists the refused rows of each shard in a file of `target`, and marks them. */
export async function writeRefused(target: Store, run: CheckedRun): Promise<RefusedRows> {
  const marks = new Map<number, Uint8Array>()
  let count = 0
  for await (const { shard, refused } of checkedShards(run)) {
    if (refused.length === 0) continue
    const written = shard.marks?.slice() ?? new Uint8Array(shard.whole.rows).fill(1)
    for (const { row } of refused) written[row] = 0
    marks.set(shard.whole.shard, written)
    count += refused.length
    const lines = refused.map(({ id, problem }) => `${JSON.stringify({ id, problem })}\n`)
    await target.putIfAbsent(`refused/${shard.whole.stem}.jsonl`, Buffer.from(lines.join('')))
  }
  return { count, marks }
}

interface RefusedRow {
  /** Its number in the shard. */
  readonly row: number
  readonly id: string
  readonly problem: string
}

/** Reads the rows to write of each shard, in the order of the shards. */
function checkedShards({ source, manifest, limits, rows, changes, signal }: CheckedRun) {
  const columns = columnsUnder(rows.columns)
  async function check(
    shard: ExportedShard,
  ): Promise<{ shard: ExportedShard; refused: readonly RefusedRow[] }> {
    const refused: RefusedRow[] = []
    let start = 0
    for await (const batch of rowsOf(source, shard.whole, rows)) {
      for (const [at, record] of [...metadataOf(batch)].entries()) {
        if (shard.marks?.[start + at] === 0) continue
        const id = batch.ids[at] ?? ''
        const problem = problemOf({ id, record }, columns, limits)
        if (problem !== undefined) refused.push({ row: start + at, id, problem })
      }
      start += batch.ids.length
    }
    return { shard, refused }
  }
  return mapConcurrent(exportedShards(source, manifest, changes), check, {
    concurrency: SHARDS_AT_ONCE,
    signal,
  })
}
