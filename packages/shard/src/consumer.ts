// What a database that will load a run can hold. Planning checks it before anything is paid; the
// export and the load check every row again before they write the first one.

import type { CarriedValue, ModelIdentity, ShardLayout } from '@reembed/protocol'
import type { FlatColumn } from './parquet/columns.ts'

/** A row without its vector. */
export interface ConsumedRow {
  readonly id: string
  /** The extra columns that are not null. */
  readonly record: Readonly<Record<string, CarriedValue>>
}

export interface Consumer {
  /** As messages name it: 'Elasticsearch'. */
  readonly name: string
  /** @throws ReembedError USAGE for vectors or columns that it cannot hold */
  requireRun(run: { readonly model: ModelIdentity; readonly layout: ShardLayout | undefined }): void
  /** What it holds, but not as well as fewer dimensions; undefined if there is nothing to state. */
  warning(model: ModelIdentity): string | undefined
  /** Why it refuses the row; undefined where it accepts it. */
  problemOf(row: ConsumedRow, extra: readonly FlatColumn[]): string | undefined
}
