// Reads the shards of a finished run, and checks each row against the manifest.

import { type CarriedValue, type Manifest, readManifestShards } from '@reembed/protocol'
import { columnMismatch, extraColumns, type FlatColumn, readShard, type ShardBatch } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { ExportShard } from './layout.ts'

/** A shard in the manifest. */
export interface RunShard extends ExportShard {
  readonly key: string
  readonly bodySha256: string
}

/** Yields the shards of a run in order. */
export async function* shardsOf(
  source: Store,
  manifest: Manifest,
): AsyncGenerator<RunShard, void, undefined> {
  let shard = 0
  for await (const { key, rows, bodySha256 } of readManifestShards(source, manifest)) {
    yield { shard, rows, key, bodySha256, stem: key.replace(/^.*\//, '').replace(/\.[^.]*$/, '') }
    shard += 1
  }
}

/**
 * The extra columns of the shards (all but id, vector and hash), by their names in the destination.
 * @param options `identifiers`: names consist of letters, digits and _
 * @throws ReembedError USAGE if two columns would have one name
 */
export function columnsOf(
  { layout }: Pick<Manifest, 'layout'>,
  { identifiers }: { readonly identifiers: boolean },
): ReadonlyMap<string, FlatColumn> {
  const columns = new Map<string, FlatColumn>()
  for (const column of extraColumns(layout)) {
    const name = identifiers ? column.name.replace(/[^A-Za-z0-9_]/g, '_') : column.name
    if (columns.has(name)) {
      throw new ReembedError(
        'USAGE',
        `two columns would both be named '${name}' in the destination: carry only one of them, or choose another destination`,
      )
    }
    columns.set(name, column)
  }
  return columns
}

/** The columns under their names in the destination. */
export const columnsUnder = (columns: ReadonlyMap<string, FlatColumn>): FlatColumn[] =>
  Array.from(columns, ([name, column]) => ({ ...column, name }))

export interface RowsOptions {
  readonly dimensions: number
  /** See `columnsOf`. */
  readonly columns: ReadonlyMap<string, FlatColumn>
  /**
   * Whether to compare the bytes of the shard with the hash in the manifest. The rows are verified
   * only when the generator has ended.
   */
  readonly verify?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/** The rows of a shard, checked against the manifest, with columns named as in the destination. */
export async function* rowsOf(
  source: Store,
  { key, rows, bodySha256 }: RunShard,
  { dimensions, columns, verify, signal }: RowsOptions,
): AsyncGenerator<ShardBatch, void, undefined> {
  const mismatch = (difference: string): ReembedError =>
    new ReembedError(
      'CORRUPT',
      `${key} in ${source.url} does not match its manifest: ${difference}; the shard or the manifest was replaced`,
    )
  let seen = 0
  const options = { extra: true, bodySha256: verify ? bodySha256 : undefined, signal }
  for await (const batch of readShard(source, key, options)) {
    seen += batch.ids.length
    if (batch.vectors.length !== batch.ids.length * dimensions) {
      throw mismatch(`its vectors do not have the ${dimensions} dimensions of the manifest`)
    }
    const extra = new Map<string, readonly CarriedValue[]>()
    for (const [name, column] of columns) {
      const values = batch.extra.get(column.name)
      if (values === undefined) throw mismatch(`it has no column ${column.name}`)
      for (const value of values) {
        const problem = columnMismatch(column, value)
        if (problem)
          throw mismatch(
            `column ${column.name} has a value that ${problem}, the manifest declares ${column.type}`,
          )
      }
      extra.set(name, values)
    }
    yield { ...batch, extra }
  }
  if (seen !== rows) throw mismatch(`it has ${seen} rows, the manifest records ${rows}`)
}
