// What an export is made of. A layout is the projection of a run into the files that one consumer loads: which files a
// shard becomes, what is in them, and how they are loaded.

import type { CarriedValue, Manifest } from '@reembed/protocol'
import type { FlatColumn, Quantization, Ranges, ShardBatch } from '@reembed/shard'

/** A run that is being exported. */
export interface ExportedRun {
  readonly manifest: Manifest
  /** Carried columns, chunk columns and text, as the shards have them. */
  readonly extra: readonly FlatColumn[]
  readonly quantize: readonly Quantization[]
  /** Present where `quantize` has int8. */
  readonly ranges: Ranges | undefined
  /** Name of what is made in the consumer: table, index, namespace, document type. */
  readonly name: string
}

/** One shard of the run. */
export interface ExportShard {
  readonly shard: number
  readonly rows: number
  /** 'part-00017-of-00042' */
  readonly stem: string
}

export interface ExportFile {
  /** Relative to the target. */
  readonly name: string
  readonly bytes: Uint8Array
}

export interface ExportLayout {
  /** The files of a shard, named before they are made: so an export that was stopped knows what it has. */
  fileNames(shard: ExportShard): readonly string[]
  /** Makes them, in the order of `fileNames`, from all rows of the shard. */
  write(shard: ExportShard, batches: AsyncIterable<ShardBatch>): AsyncGenerator<ExportFile, void, undefined>
  /** Files that the export has once: schema, card. */
  readonly sharedFiles: readonly ExportFile[]
  /** The commands that load it; `<target>` stands for where it lies. */
  readonly loadCommands: string
}

export type CreateExportLayout = (run: ExportedRun) => ExportLayout

/** Rows as records with the extra columns that are not null. */
export function* metadataOf({
  ids,
  extra,
}: ShardBatch): Generator<Record<string, CarriedValue>, void, undefined> {
  for (const row of ids.keys()) {
    // Not by assignment: a column may be named `__proto__`, or be renamed so.
    yield Object.fromEntries(
      extra.entries().flatMap(([name, values]): [string, CarriedValue][] => {
        const value = values[row] ?? null
        return value === null ? [] : [[name, value]]
      }),
    )
  }
}

/** One JSON object; integers beyond 2^53 keep all their digits. */
export function toJson(record: Readonly<Record<string, CarriedValue>>): string {
  const members = Object.entries(record).map(
    ([name, value]) => `${JSON.stringify(name)}:${typeof value === 'bigint' ? value : JSON.stringify(value)}`,
  )
  return `{${members.join(',')}}`
}

export const textFile = (name: string, text: string): ExportFile => ({ name, bytes: Buffer.from(text) })
