// Exports a finished run: reads every shard and writes it in the format that one database or
// library loads. An export embeds nothing and overwrites nothing. It skips files that exist, so an
// interrupted export continues when it is called again with the same arguments.
//
//   <target>/reembed-export.json   run, layout, int8 ranges; written first, checked on every call
//   <target>/data/...              the files of the shards
//   <target>/LOAD.md               how to load the files; written last: it marks a complete export

import {
  type CarriedValue,
  type ExportRecord,
  type Manifest,
  putExportRecord,
  readExportRecord,
  readManifestShards,
} from '@reembed/protocol'
import {
  columnMismatch,
  extraColumns,
  type FlatColumn,
  type Quantization,
  type Ranges,
  rangesOf,
  readShard,
  requireWholeBytes,
  type ShardBatch,
} from '@reembed/shard'
import { canonical, manifestKey, mapConcurrent, printable, ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import {
  type CreateExportLayout,
  type ExportedRun,
  type ExportLayout,
  type ExportShard,
  metadataOf,
  type RowLimits,
  textFile,
} from './layout.ts'
import { arrow, npy } from './layouts/files.ts'
import { elasticsearch, vespa } from './layouts/json.ts'
import { hf, lance, milvus, pinecone } from './layouts/parquet.ts'
import { pgvector } from './layouts/pgvector.ts'
import { createOffenders, problemOf } from './row-limits.ts'

export type ExportLayoutName =
  | 'hf'
  | 'pinecone'
  | 'milvus'
  | 'lance'
  | 'pgvector'
  | 'elasticsearch'
  | 'vespa'
  | 'npy'
  | 'arrow'

const LAYOUTS: Record<ExportLayoutName, CreateExportLayout> = {
  hf,
  pinecone,
  milvus,
  lance,
  pgvector,
  elasticsearch,
  vespa,
  npy,
  arrow,
}

export const EXPORT_LAYOUT_NAMES: readonly ExportLayoutName[] = Object.keys(LAYOUTS) as ExportLayoutName[]

/** Layouts that can store int8 and binary vectors in addition to the float32 vectors. */
const QUANTIZED_LAYOUTS: readonly ExportLayoutName[] = ['hf', 'milvus', 'lance', 'npy', 'arrow']

export interface ExportRequest {
  readonly layout: ExportLayoutName
  /** Types to store in addition to the float32 vectors. Default none. */
  readonly quantize?: readonly Quantization[] | undefined
  /**
   * Name of the table, index, namespace or document type in the database. Default `embeddings`. The
   * default for Pinecone is the run id, because a Pinecone import needs a new namespace.
   */
  readonly name?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((done: { shards: number; rows: number }) => void) | undefined
}

export interface ExportResult {
  readonly shards: number
  readonly rows: number
  readonly files: number
  /** Files that an earlier export had written. */
  readonly existingFiles: number
  /** Bytes written by this call. */
  readonly bytes: number
  /** Shell commands that load the files, with the URL of the target filled in. */
  readonly loadCommands: string
}

/**
 * Consumers whose column names must be identifiers: fields of Milvus and Vespa, and the top level
 * of a Lance schema ("cannot contain `.`").
 */
const IDENTIFIER_NAMES_ONLY: readonly ExportLayoutName[] = ['milvus', 'lance', 'vespa']

/** Shards exported concurrently. Each holds one row group and its output files in memory. */
const SHARDS_AT_ONCE = 2
/** The int8 ranges are measured over at least this many rows, or over all rows of a smaller run. */
const CALIBRATION_ROWS = 100_000

/**
 * Writes a finished run into `target`. Calling it again with the same arguments continues an
 * interrupted export. Holds two row groups and their output files in memory.
 *
 * @throws ReembedError USAGE if the layout cannot store these vectors or columns, or if the target
 *   holds another export or other files
 * @throws ReembedError CORRUPT if a shard does not match the manifest
 * @throws the reason of `signal`
 * @example
 * ```ts
 * import { readCurrentManifest } from '@reembed/shard'
 * import { exportRun } from '@reembed/sinks'
 * import { openStore } from '@reembed/store'
 *
 * await using source = await openStore('s3://vectors/wiki')
 * await using target = await openStore('./load')
 * const manifest = await readCurrentManifest('s3://vectors/wiki')
 * const { loadCommands } = await exportRun(source, manifest, target, { layout: 'pgvector' })
 * console.log(loadCommands)
 * ```
 */
export async function exportRun(
  source: Store,
  manifest: Manifest,
  target: Store,
  { layout: layoutName, quantize = [], name, signal, onProgress }: ExportRequest,
): Promise<ExportResult> {
  requireLayoutSupports(layoutName, quantize, manifest.model.dimensions)
  const rename = (column: string): string =>
    IDENTIFIER_NAMES_ONLY.includes(layoutName) ? column.replace(/[^A-Za-z0-9_]/g, '_') : column
  const columns = extraColumns(manifest.layout)
  const run: ExportedRun = {
    manifest,
    extra: columns.map(column => ({ ...column, name: rename(column.name) })),
    quantize,
    ranges: undefined,
    name: name ?? (layoutName === 'pinecone' ? manifest.run : 'embeddings'),
  }
  requireUnique(run.extra.map(column => column.name))
  // Creating the layout checks its limits, so an unsupported run is refused before the first write.
  const { rowLimits } = LAYOUTS[layoutName](run)
  const renamed = new Map(columns.map(column => [rename(column.name), column]))
  if (rowLimits && (await readExportRecord(target)) === undefined)
    await requireRowsFit(source, manifest, { limits: rowLimits, columns: renamed, signal })
  const ranges = await openExportRecord(source, target, layoutName, run)
  const layout = LAYOUTS[layoutName]({ ...run, ranges })
  const loadCommands = layout.loadCommands(target.url)
  const options: ExportShardOptions = {
    existingKeys: new Set(await Array.fromAsync(target.list(''), ({ key }) => key)),
    dimensions: manifest.model.dimensions,
    columns: renamed,
  }

  const done = { shards: 0, rows: 0, files: 0, existingFiles: 0, bytes: 0 }
  const exported = mapConcurrent(
    shardsOf(source, manifest),
    shard => exportShard(source, target, layout, shard, options),
    { concurrency: SHARDS_AT_ONCE, signal },
  )
  for await (const { rows, files, existingFiles, bytes } of exported) {
    done.shards += 1
    done.rows += rows
    done.files += files
    done.existingFiles += existingFiles
    done.bytes += bytes
    onProgress?.(done)
  }
  if (done.rows !== manifest.totals.rows) {
    throw new ReembedError(
      'CORRUPT',
      `${manifestKey(manifest.run)} in ${source.url} is damaged: it records ${manifest.totals.rows} rows, but its shards contain ${done.rows}`,
    )
  }
  for (const { name, bytes } of [
    ...layout.sharedFiles,
    textFile('LOAD.md', loadPage(layoutName, run, loadCommands)),
  ]) {
    await target.putIfAbsent(name, bytes)
  }
  return { ...done, loadCommands }
}

/** Checks all rows before the first write. Reads each shard once more, two at a time. */
async function requireRowsFit(
  source: Store,
  manifest: Manifest,
  {
    limits,
    columns,
    signal,
  }: {
    readonly limits: RowLimits
    readonly columns: ReadonlyMap<string, FlatColumn>
    readonly signal: AbortSignal | undefined
  },
): Promise<void> {
  const named = [...columns].map(([name, column]) => ({ ...column, name }))
  const { dimensions } = manifest.model
  const offenders = createOffenders(limits.consumer)
  const check = async (shard: LocatedShard): Promise<void> => {
    for await (const batch of rowsOf(source, shard, { dimensions, columns, existingKeys: new Set() })) {
      for (const [row, record] of [...metadataOf(batch)].entries()) {
        const id = batch.ids[row] ?? ''
        const problem = problemOf({ id, record }, named, limits)
        if (problem !== undefined) offenders.add(id, problem)
      }
    }
  }
  const checked = mapConcurrent(shardsOf(source, manifest), check, { concurrency: SHARDS_AT_ONCE, signal })
  for await (const _ of checked);
  offenders.throwIfAny()
}

function requireUnique(names: readonly string[]): void {
  const duplicate = names.find((name, i) => names.indexOf(name) < i)
  if (duplicate === undefined) return
  throw new ReembedError(
    'USAGE',
    `two columns would both be named '${duplicate}' in this layout: carry only one of them, or export to another layout`,
  )
}

function requireLayoutSupports(
  layout: ExportLayoutName,
  quantize: readonly Quantization[],
  dimensions: number,
): void {
  if (quantize.length > 0 && !QUANTIZED_LAYOUTS.includes(layout)) {
    throw new ReembedError(
      'USAGE',
      `the layout ${layout} cannot store ${quantize.join(' and ')} vectors: use ${QUANTIZED_LAYOUTS.join(', ')}, or export float32 vectors only`,
    )
  }
  if (quantize.includes('ubinary')) requireWholeBytes(dimensions)
}

interface LocatedShard extends ExportShard {
  readonly key: string
}

async function* shardsOf(source: Store, manifest: Manifest): AsyncGenerator<LocatedShard, void, undefined> {
  let shard = 0
  for await (const { key, rows } of readManifestShards(source, manifest)) {
    yield { shard, rows, key, stem: key.replace(/^.*\//, '').replace(/\.[^.]*$/, '') }
    shard += 1
  }
}

interface ExportShardOptions {
  /** Keys in the target before this call. */
  readonly existingKeys: ReadonlySet<string>
  readonly dimensions: number
  /**
   * The extra columns of the shards (all but id, vector and hash), by their names in the export.
   */
  readonly columns: ReadonlyMap<string, FlatColumn>
}

async function exportShard(
  source: Store,
  target: Store,
  layout: ExportLayout,
  shard: LocatedShard,
  options: ExportShardOptions,
): Promise<{ rows: number; files: number; existingFiles: number; bytes: number }> {
  const names = layout.fileNames(shard)
  const { rows } = shard
  if (names.every(name => options.existingKeys.has(name)))
    return { rows, files: names.length, existingFiles: names.length, bytes: 0 }
  let bytes = 0
  for await (const file of layout.write(shard, rowsOf(source, shard, options))) {
    await target.putIfAbsent(file.name, file.bytes)
    bytes += file.bytes.length
  }
  return { rows, files: names.length, existingFiles: 0, bytes }
}

/** The rows of a shard, checked against the manifest, with columns named as in the export. */
async function* rowsOf(
  source: Store,
  { key, rows }: LocatedShard,
  { dimensions, columns }: ExportShardOptions,
): AsyncGenerator<ShardBatch, void, undefined> {
  const mismatch = (difference: string): ReembedError =>
    new ReembedError(
      'CORRUPT',
      `${key} in ${source.url} does not match its manifest: ${difference}; the shard or the manifest was replaced`,
    )
  let seen = 0
  for await (const batch of readShard(source, key, { extra: true })) {
    seen += batch.ids.length
    if (batch.vectors.length !== batch.ids.length * dimensions) {
      throw mismatch(`its vectors do not have the ${dimensions} dimensions of the manifest`)
    }
    const extra = new Map<string, readonly CarriedValue[]>()
    for (const [fileColumn, column] of columns) {
      const values = batch.extra.get(column.name)
      if (values === undefined) throw mismatch(`it has no column ${column.name}`)
      for (const value of values) {
        const problem = columnMismatch(column, value)
        if (problem)
          throw mismatch(
            `column ${column.name} has a value that ${problem}, the manifest declares ${column.type}`,
          )
      }
      extra.set(fileColumn, values)
    }
    yield { ...batch, extra }
  }
  if (seen !== rows) throw mismatch(`it has ${seen} rows, the manifest records ${rows}`)
}

/**
 * Records in the target which export it holds, or checks that an existing record is of the same
 * export. Returns the recorded int8 ranges, so that an export that is continued uses the same ones.
 */
async function openExportRecord(
  source: Store,
  target: Store,
  layout: ExportLayoutName,
  { manifest, quantize, name }: ExportedRun,
): Promise<Ranges | undefined> {
  const { run, spaceId, recipeId, model } = manifest
  const request = { format: 1, run, spaceId, recipeId, model, layout, name, quantize }
  const found = await readExportRecord(target)
  if (found === undefined) {
    await requireEmptyTarget(target)
    const ranges = quantize.includes('int8') ? await calibrate(source, manifest) : undefined
    await putExportRecord(target, {
      ...request,
      ranges: ranges && { min: [...ranges.min], max: [...ranges.max] },
    })
  }
  const { ranges, ...stored } = (found ?? (await readExportRecord(target))) as ExportRecord
  if (canonical(stored) !== canonical(request)) {
    throw new ReembedError(
      'USAGE',
      `${target.url} holds another export (run ${stored.run}, layout ${stored.layout}): export to an empty folder`,
      { option: 'target' },
    )
  }
  return ranges && { min: Float32Array.from(ranges.min), max: Float32Array.from(ranges.max) }
}

/** A loader reads every file of the target, so the target must hold nothing else. */
async function requireEmptyTarget(target: Store): Promise<void> {
  for await (const { key } of target.list('')) {
    throw new ReembedError('USAGE', `${target.url} is not empty (${key}): export to an empty folder`, {
      option: 'target',
    })
  }
}

/**
 * Measures the int8 ranges over whole shards, spread evenly over the run. Deterministic for a run.
 */
async function calibrate(source: Store, manifest: Manifest): Promise<Ranges> {
  const { rows } = manifest.totals
  const step = Math.max(1, Math.floor(rows / CALIBRATION_ROWS))
  async function* vectors(): AsyncGenerator<Float32Array, void, undefined> {
    for await (const { shard, key } of shardsOf(source, manifest)) {
      if (shard % step !== 0) continue
      for await (const batch of readShard(source, key)) yield batch.vectors
    }
  }
  return rangesOf(vectors(), manifest.model.dimensions)
}

/** What the values of a quantized vector mean; the formulas are those of `@reembed/shard`. */
const QUANTIZED_VALUES: Record<Quantization, string> = {
  int8: 'one byte per dimension; `trunc(255 * (x - min) / (max - min) - 128)`, with `min` and `max` of the dimension from `reembed-export.json`',
  ubinary:
    'one bit per dimension, 1 where the value is above 0; eight to a byte, the first dimension in the highest bit',
}

const loadPage = (
  layout: ExportLayoutName,
  { manifest: { run, model, totals }, quantize }: ExportedRun,
  loadCommands: string,
): string => `# Load

${totals.rows} vectors with ${model.dimensions} dimensions. Model ${printable(`${model.id}@${model.revision ?? 'unknown'}`)}, run ${run}, layout ${layout}.
${quantize
  .map(type => {
    const place = layout === 'npy' ? `Folder \`embeddings_${type}/\`` : `Column \`embedding_${type}\``
    return `\n- ${place}: ${QUANTIZED_VALUES[type]}.`
  })
  .join('')}
${fenceFor(loadCommands)}sh
${loadCommands}
${fenceFor(loadCommands)}
`

/** A fence of Markdown that no line of the text closes. */
const fenceFor = (text: string): string =>
  '`'.repeat(Math.max(3, ...Array.from(text.matchAll(/`+/g), ([run]) => run.length + 1)))
