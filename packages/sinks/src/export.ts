// Exports a finished run: every shard is read again and written as its consumer wants it. Nothing is embedded, nothing
// is overwritten, and what is there already is not made again, so a stopped export goes on with the same command.
//
//   <target>/reembed-export.json   which run, which layout, which ranges: written first, and held to
//   <target>/data/...              the files of the shards
//   <target>/LOAD.md               how to load them: written last, so whoever finds it has all

import { type CarriedValue, type Manifest, readManifestShards } from '@reembed/protocol'
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
import { canonical, manifestKey, mapConcurrent, ReembedError } from '@reembed/shared'
import { getJson, putJson, type Store } from '@reembed/store'
import {
  type CreateExportLayout,
  type ExportedRun,
  type ExportLayout,
  type ExportShard,
  textFile,
} from './layout.ts'
import { arrow, npy } from './layouts/files.ts'
import { elasticsearch, vespa } from './layouts/json.ts'
import { hf, lance, milvus, pinecone } from './layouts/parquet.ts'
import { pgvector } from './layouts/pgvector.ts'

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

/** Layouts whose consumers have a place for vectors of another type beside the float32 ones. */
const QUANTIZED_LAYOUTS: readonly ExportLayoutName[] = ['hf', 'milvus', 'lance', 'npy', 'arrow']

export interface ExportRequest {
  readonly layout: ExportLayoutName
  /** Vectors of other types beside the float32 ones. */
  readonly quantize?: readonly Quantization[] | undefined
  /** Name of what is made in the consumer; by default `embeddings`, for Pinecone the run, as namespaces must be new. */
  readonly name?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((done: { shards: number; rows: number }) => void) | undefined
}

export interface ExportResult {
  readonly shards: number
  readonly rows: number
  readonly files: number
  /** Files that were there before. */
  readonly existingFiles: number
  readonly bytes: number
  /** The commands that load it, with the target in them. */
  readonly loadCommands: string
}

/** Consumers whose columns have plain names: Milvus's fields, Lance's top level ("cannot contain `.`"), Vespa's fields. */
const IDENTIFIER_NAMES_ONLY: readonly ExportLayoutName[] = ['milvus', 'lance', 'vespa']

const EXPORT_RECORD_KEY = 'reembed-export.json'
/** Shards under way; each holds a row group and its files. */
const SHARDS_AT_ONCE = 2
/** Rows that int8's ranges are taken from, at least; all if there are no more. */
const CALIBRATION_ROWS = 100_000

/**
 * Writes the run into `target`.
 * @throws ReembedError USAGE where the layout cannot hold these vectors, or the target holds another export; CORRUPT
 * where manifest and shards are not of one another.
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
  // What it refuses, it refuses before anything is written.
  LAYOUTS[layoutName](run)
  const ranges = await openExportRecord(source, target, layoutName, run)
  const layout = LAYOUTS[layoutName]({ ...run, ranges })
  const loadCommands = layout.loadCommands.replaceAll('<target>', target.url)
  const options: ExportShardOptions = {
    existingKeys: new Set(await Array.fromAsync(target.list(''), ({ key }) => key)),
    dimensions: manifest.model.dimensions,
    columns: new Map(columns.map(column => [rename(column.name), column])),
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
      `${manifestKey(manifest.run)} in ${source.url} is damaged: it says ${manifest.totals.rows} rows, its shards have ${done.rows}`,
    )
  }
  for (const { name, bytes } of [
    ...layout.sharedFiles,
    textFile('LOAD.md', loadPage(layoutName, manifest, loadCommands)),
  ]) {
    await target.putIfAbsent(name, bytes)
  }
  return { ...done, loadCommands }
}

function requireUnique(names: readonly string[]): void {
  const twice = names.find((name, i) => names.indexOf(name) < i)
  if (twice === undefined) return
  throw new ReembedError('USAGE', `two columns would both be named '${twice}': carry one of them`)
}

function requireLayoutSupports(
  layout: ExportLayoutName,
  quantize: readonly Quantization[],
  dimensions: number,
): void {
  if (quantize.length > 0 && !QUANTIZED_LAYOUTS.includes(layout)) {
    throw new ReembedError(
      'USAGE',
      `the layout ${layout} has no place for ${quantize.join(' and ')}: ${QUANTIZED_LAYOUTS.join(', ')} have`,
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
  /** What the target holds already. */
  readonly existingKeys: ReadonlySet<string>
  readonly dimensions: number
  /** The columns of the shards behind id, vector and hash, by their names in the file. */
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

/** The rows of a shard, held to be what the manifest says, with columns that are named as in the file. */
async function* rowsOf(
  source: Store,
  { key, rows }: LocatedShard,
  { dimensions, columns }: ExportShardOptions,
): AsyncGenerator<ShardBatch, void, undefined> {
  const replaced = (what: string): ReembedError =>
    new ReembedError('CORRUPT', `${key} in ${source.url} has ${what}: one of them was replaced`)
  let seen = 0
  for await (const batch of readShard(source, key, { extra: true })) {
    seen += batch.ids.length
    if (batch.vectors.length !== batch.ids.length * dimensions) {
      throw replaced(`other dimensions than the ${dimensions} of the manifest`)
    }
    const extra = new Map<string, readonly CarriedValue[]>()
    for (const [fileColumn, column] of columns) {
      const values = batch.extra.get(column.name)
      if (values === undefined) throw replaced(`no column ${column.name}, though the manifest says so`)
      for (const value of values) {
        const misfit = columnMismatch(column, value)
        if (misfit)
          throw replaced(`a value of ${column.name} that ${misfit}, the manifest says ${column.type}`)
      }
      extra.set(fileColumn, values)
    }
    yield { ...batch, extra }
  }
  if (seen !== rows) throw replaced(`${seen} rows, the manifest says ${rows}`)
}

/** Writes down what this export is, or finds that the target holds the same one. Gives int8's ranges. */
async function openExportRecord(
  source: Store,
  target: Store,
  layout: ExportLayoutName,
  { manifest, quantize, name }: ExportedRun,
): Promise<Ranges | undefined> {
  const { run, spaceId, recipeId, model } = manifest
  const request = { format: 1, run, spaceId, recipeId, model, layout, name, quantize }
  const found = (await getJson(target, EXPORT_RECORD_KEY)) as ExportRecord | undefined
  if (found === undefined) {
    await requireEmptyTarget(target)
    const ranges = quantize.includes('int8') ? await calibrate(source, manifest) : undefined
    await putJson(target, EXPORT_RECORD_KEY, {
      ...request,
      ranges: ranges && { min: [...ranges.min], max: [...ranges.max] },
    })
  }
  const { ranges, ...stored } = (found ?? (await getJson(target, EXPORT_RECORD_KEY))) as ExportRecord
  if (canonical(stored) !== canonical(request)) {
    throw new ReembedError(
      'USAGE',
      `${target.url} holds another export (run ${stored.run}, layout ${stored.layout}): choose another target`,
      { option: 'target' },
    )
  }
  return ranges && { min: Float32Array.from(ranges.min), max: Float32Array.from(ranges.max) }
}

interface ExportRecord {
  readonly run: string
  readonly layout: string
  readonly ranges?: { readonly min: number[]; readonly max: number[] }
}

/** A loader takes all that lies there, so nothing else may. */
async function requireEmptyTarget(target: Store): Promise<void> {
  for await (const { key } of target.list('')) {
    throw new ReembedError('USAGE', `${target.url} is not empty (${key}): choose an empty target`, {
      option: 'target',
    })
  }
}

/** The ranges of whole shards, spread evenly over the run; the same ones whenever it is asked again. */
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

const loadPage = (
  layout: ExportLayoutName,
  { run, model, totals }: Manifest,
  loadCommands: string,
): string => `# Load

${totals.rows} vectors of ${model.dimensions} dimensions by ${model.id}@${model.revision ?? 'unstated'}, run ${run}, layout ${layout}.

\`\`\`sh
${loadCommands}
\`\`\`
`
