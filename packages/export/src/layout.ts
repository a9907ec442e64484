// The parts of an export. A layout maps a run to the files that one database or library loads: the
// names of the files of a shard, their contents, and the commands that load them.

import type { CarriedValue, Manifest } from '@reembed/protocol'
import type { FlatColumn, Quantization, Ranges, ShardBatch } from '@reembed/shard'
import { shellWord } from '@reembed/shared'

/** What a layout states of a run: known when the run is planned, but for its rows. */
export interface LayoutRun {
  readonly manifest: Pick<Manifest, 'model' | 'run' | 'spaceId' | 'recipeId' | 'prompt' | 'shards'> & {
    readonly totals: Pick<Manifest['totals'], 'rows'>
  }
  /** Carried columns, chunk columns and text, in the order of the shards. */
  readonly extra: readonly FlatColumn[]
  readonly quantize: readonly Quantization[]
  /** Value range of each dimension; set if `quantize` contains `int8`. */
  readonly ranges: Ranges | undefined
  /** Name of the table, index, namespace or document type in the database. */
  readonly name: string
}

/** The run to export and the options of the export. */
export interface ExportedRun extends LayoutRun {
  readonly manifest: Manifest
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

/** Limits of one consumer; each is checked only if it is set. */
export interface RowLimits {
  /** Name of the consumer in messages. */
  readonly consumer: string
  /** Most UTF-8 bytes of an id. */
  readonly idBytes?: number
  /** Most characters of an id. */
  readonly idLength?: number
  /** Most UTF-8 bytes of a string, by column; undefined for a column without a limit. */
  readonly stringBytes?: (column: FlatColumn) => number | undefined
  /** Most bytes of the extra columns of a row as one JSON object. */
  readonly metadataBytes?: number
  /** Characters that the consumer does not store in a string, and their name in messages. */
  readonly characters?: { readonly pattern: RegExp; readonly name: string }
}

export interface ExportLayout {
  /**
   * Names of the files of a shard. They do not depend on the rows, so an interrupted export can
   * tell which shards are complete without reading them.
   */
  fileNames(shard: ExportShard): readonly string[]
  /** Creates the files in the order of `fileNames` from all rows of the shard. */
  write(shard: ExportShard, batches: AsyncIterable<ShardBatch>): AsyncGenerator<ExportFile, void, undefined>
  /** What the consumer refuses in a row; undefined if it accepts every row. */
  readonly rowLimits?: RowLimits
  /** Files that are written once per export, such as a schema or a dataset card. */
  readonly sharedFiles: readonly ExportFile[]
  /**
   * Shell commands that load the files from the URL of the target: into a consumer that holds
   * nothing of the name yet or, with `deletes`, into one that holds an earlier run.
   */
  loadCommands(target: string, written: WrittenFiles): string
}

export interface WrittenFiles {
  /** The numbers of the shards that have files, in ascending order. */
  readonly shards: readonly number[]
  /** Of an export since an earlier run: how many ids of it to delete first. */
  readonly deletes: number | undefined
}

export type CreateExportLayout = (run: LayoutRun) => ExportLayout

/** One record per row with the extra columns that are not null. */
export function* metadataOf({
  ids,
  extra,
}: ShardBatch): Generator<Record<string, CarriedValue>, void, undefined> {
  const columns = [...extra]
  for (const row of ids.keys()) {
    const record: Record<string, CarriedValue> = {}
    for (const [name, values] of columns) {
      const value = values[row] ?? null
      if (value === null) continue
      // An assignment would set the prototype.
      if (name === '__proto__')
        Object.defineProperty(record, name, { value, enumerable: true, configurable: true, writable: true })
      else record[name] = value
    }
    yield record
  }
}

/** One JSON object. Integers above 2^53 keep all digits. */
export function toJson(record: Readonly<Record<string, CarriedValue>>): string {
  const members = Object.entries(record).map(
    ([name, value]) => `${JSON.stringify(name)}:${typeof value === 'bigint' ? value : JSON.stringify(value)}`,
  )
  return `{${members.join(',')}}`
}

/**
 * Shell commands of which none runs after one that failed, also if they are pasted: the subshell
 * ends, not the shell. Empty without commands.
 */
export const inOrder = (...commands: readonly string[]): string =>
  commands.length === 0 ? '' : `(set -e\n${commands.join('\n')}\n)`

/** A shell command that runs Python. */
export const pythonCommand = (program: string): string => `python -c ${shellWord(program)}`

/** A string literal of Python: JSON's escapes are among its own. */
export const pythonText = (text: string): string => JSON.stringify(text)

export const textFile = (name: string, text: string): ExportFile => ({ name, bytes: Buffer.from(text) })
