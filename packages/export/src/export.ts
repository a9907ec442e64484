// Exports a finished run: reads every shard and writes it in the format that one database or
// library loads. An export embeds nothing and overwrites nothing. It skips files that exist, so an
// interrupted export continues when it is called again with the same arguments.
//
//   <target>/reembed-export.json   run, layout, int8 ranges; written first, checked on every call
//   <target>/data/...              the files of the shards
//   <target>/deletes/...           ids to delete first; only of an export since an earlier run
//   <target>/refused/...           rows that were left out; only if asked for
//   <target>/LOAD.md               how to load the files; written last: it marks a complete export

import { findChanges } from '@reembed/evaluate'
import {
  type ExportRecord,
  type Manifest,
  putExportRecord,
  readExportRecord,
  sameRecipe,
} from '@reembed/protocol'
import {
  type Quantization,
  type Ranges,
  rangesOf,
  readShard,
  requireWholeBytes,
  sameLayout,
} from '@reembed/shard'
import { canonical, manifestKey, mapConcurrent, printable, ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { type ExportedShard, exportedRows, exportedShards, writeDeletes } from './delta.ts'
import { type ExportedRun, type ExportLayout, textFile } from './layout.ts'
import {
  type ExportLayoutName,
  IDENTIFIER_NAMES_ONLY,
  LAYOUTS,
  QUANTIZED_LAYOUTS,
} from './layouts/registry.ts'
import { columnsOf, columnsUnder, type RowsOptions, shardsOf } from './read-run.ts'
import { requireRowsFit, writeRefused } from './refused-rows.ts'

export interface ExportRequest {
  readonly layout: ExportLayoutName
  /** Types to store in addition to the float32 vectors. Default none. */
  readonly quantize?: readonly Quantization[] | undefined
  /**
   * Name of the table, index, namespace or document type in the database. Default `embeddings`. The
   * default for Pinecone is the run id, because a Pinecone import needs a new namespace.
   */
  readonly name?: string | undefined
  /**
   * An earlier run that the consumer holds, of the same recipe and columns. Only rows that were
   * added or changed since are written, and the ids of changed and removed rows below `deletes/`:
   * the consumer deletes these first. Not with int8, whose ranges the consumer's rows have from
   * another run. Pinecone also needs `name`: the namespace that holds the run.
   */
  readonly since?: Manifest | undefined
  /**
   * Leaves out the rows that the consumer cannot store, and lists them below `refused/`; by default
   * they refuse the export.
   */
  readonly skipRefused?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((done: { shards: number; rows: number }) => void) | undefined
}

export interface ExportResult {
  readonly shards: number
  readonly rows: number
  /** Ids to delete first; 0 without `since`. */
  readonly deletes: number
  /** Rows that the consumer cannot store, and that were left out; 0 without `skipRefused`. */
  readonly refused: number
  readonly files: number
  /** Files that an earlier export had written. */
  readonly existingFiles: number
  /** Bytes written by this call. */
  readonly bytes: number
  /** Shell commands that load the files, with the URL of the target filled in. */
  readonly loadCommands: string
}

/** Shards exported concurrently. Each holds one row group and its output files in memory. */
const SHARDS_AT_ONCE = 2
/** The int8 ranges are measured over at least this many rows, or over all rows of a smaller run. */
const CALIBRATION_ROWS = 100_000

/**
 * Writes a finished run into `target`. Calling it again with the same arguments continues an
 * interrupted export. Holds two row groups and their output files in memory.
 *
 * @throws ReembedError USAGE if the layout cannot store these vectors or columns, if a consumer
 *   that holds `since` cannot take the difference, or if the target holds another export or other
 *   files
 * @throws ReembedError CORRUPT if a shard does not match the manifest
 * @throws the reason of `signal`
 * @example
 * ```ts
 * import { readCurrentManifest } from '@reembed/shard'
 * import { exportRun } from '@reembed/export'
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
  { layout: layoutName, quantize = [], name, since, skipRefused = false, signal, onProgress }: ExportRequest,
): Promise<ExportResult> {
  requireLayoutSupports(layoutName, quantize, manifest.model.dimensions)
  if (since) requireDifference(manifest, since, { layout: layoutName, quantize, name })
  const columns = columnsOf(manifest, { identifiers: IDENTIFIER_NAMES_ONLY.includes(layoutName) })
  const run: ExportedRun = {
    manifest,
    extra: columnsUnder(columns),
    quantize,
    ranges: undefined,
    name: name ?? (isPinecone(layoutName) ? manifest.run : 'embeddings'),
  }
  // Creating the layout checks its limits, so an unsupported run is refused before the first write.
  const { rowLimits } = LAYOUTS[layoutName](run)
  const changes = since && (await findChanges(source, since, manifest, { signal }))
  const rows = { dimensions: manifest.model.dimensions, columns }
  const checked = rowLimits && { source, manifest, limits: rowLimits, rows, changes, signal }
  if (checked && !skipRefused && (await readExportRecord(target)) === undefined) await requireRowsFit(checked)
  const ranges = await openExportRecord(
    source,
    target,
    { layout: layoutName, since: since?.run, skipRefused },
    run,
  )
  const refused = checked && skipRefused ? await writeRefused(target, checked) : undefined
  const layout = LAYOUTS[layoutName]({ ...run, ranges })
  const options: ExportShardOptions = {
    existingKeys: new Set(await Array.fromAsync(target.list(''), ({ key }) => key)),
    rows,
  }

  const deletes = changes === undefined ? 0 : await writeDeletes(target, changes)
  const done = {
    shards: 0,
    rows: 0,
    deletes,
    refused: refused?.count ?? 0,
    files: 0,
    existingFiles: 0,
    bytes: 0,
  }
  const shards: number[] = []
  const exported = mapConcurrent(
    exportedShards(source, manifest, changes, refused?.marks),
    shard => exportShard(source, target, layout, shard, options),
    { concurrency: SHARDS_AT_ONCE, signal },
  )
  for await (const { shard, rows, files, existingFiles, bytes } of exported) {
    shards.push(shard)
    done.shards += 1
    done.rows += rows
    done.files += files
    done.existingFiles += existingFiles
    done.bytes += bytes
    onProgress?.(done)
  }
  const expected = (changes ? changes.added + changes.changed : manifest.totals.rows) - done.refused
  if (done.rows !== expected) {
    throw new ReembedError(
      'CORRUPT',
      `${manifestKey(manifest.run)} in ${source.url} is damaged: it records ${expected} rows, but its shards contain ${done.rows}`,
    )
  }
  const loadCommands = layout.loadCommands(target.url, { shards, deletes: since && deletes })
  for (const { name, bytes } of [
    ...layout.sharedFiles,
    textFile('LOAD.md', loadPage(layoutName, run, loadCommands, { ...done, since: since?.run })),
  ]) {
    await target.putIfAbsent(name, bytes)
  }
  return { ...done, loadCommands }
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

/** Refuses what would leave rows of two kinds in the consumer, or would fail after its deletes. */
function requireDifference(
  manifest: Manifest,
  since: Manifest,
  { layout, quantize = [], name }: Pick<ExportRequest, 'layout' | 'quantize' | 'name'>,
): void {
  const refuse = (reason: string, option: string): never => {
    throw new ReembedError('USAGE', reason, { option })
  }
  if (!sameRecipe(manifest, since) || !sameLayout(manifest, since)) {
    refuse(
      `run ${manifest.run} has another recipe (model, dimensions, columns) than run ${since.run}, so a store that holds one cannot take the difference: export the whole run ${manifest.run}`,
      'since',
    )
  }
  if (quantize.includes('int8')) {
    refuse(
      `int8 vectors of run ${manifest.run} and of run ${since.run} have other ranges, so they cannot be compared: export the whole run ${manifest.run}, or without int8`,
      'quantize',
    )
  }
  if (isPinecone(layout) && name === undefined) {
    refuse(
      `the namespace of Pinecone that holds run ${since.run} is not known: name it (an export of a whole run has by default a namespace named after that run)`,
      'name',
    )
  }
}

const isPinecone = (layout: ExportLayoutName): boolean => layout.startsWith('pinecone')

interface ExportShardOptions {
  /** Keys in the target before this call. */
  readonly existingKeys: ReadonlySet<string>
  readonly rows: RowsOptions
}

async function exportShard(
  source: Store,
  target: Store,
  layout: ExportLayout,
  shard: ExportedShard,
  options: ExportShardOptions,
): Promise<{ shard: number; rows: number; files: number; existingFiles: number; bytes: number }> {
  const { written } = shard
  const names = layout.fileNames(written)
  const { shard: at, rows } = written
  if (names.every(name => options.existingKeys.has(name)))
    return { shard: at, rows, files: names.length, existingFiles: names.length, bytes: 0 }
  let bytes = 0
  for await (const file of layout.write(written, exportedRows(source, shard, options.rows))) {
    await target.putIfAbsent(file.name, file.bytes)
    bytes += file.bytes.length
  }
  return { shard: at, rows, files: names.length, existingFiles: 0, bytes }
}

/**
 * Records in the target which export it holds, or checks that an existing record is of the same
 * export. Returns the recorded int8 ranges, so that an export that is continued uses the same ones.
 */
async function openExportRecord(
  source: Store,
  target: Store,
  {
    layout,
    since,
    skipRefused,
  }: {
    readonly layout: ExportLayoutName
    readonly since: string | undefined
    readonly skipRefused: boolean
  },
  { manifest, quantize, name }: ExportedRun,
): Promise<Ranges | undefined> {
  const { run, spaceId, recipeId, model } = manifest
  const request = {
    format: 1,
    run,
    spaceId,
    recipeId,
    model,
    layout,
    name,
    quantize,
    ...(since !== undefined && { since }),
    ...(skipRefused && { skipRefused }),
  }
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
  { manifest: { run, model }, quantize }: ExportedRun,
  loadCommands: string,
  {
    rows,
    deletes,
    refused,
    since,
  }: Pick<ExportResult, 'rows' | 'deletes' | 'refused'> & { readonly since: string | undefined },
): string => `# Load

${rows} vectors with ${model.dimensions} dimensions. Model ${printable(`${model.id}@${model.revision ?? 'unknown'}`)}, run ${run}, layout ${layout}.
${refused > 0 ? `\nRows that the consumer cannot store are left out, ${refused} in number: their ids and the reasons are in \`refused/*.jsonl\`.\n` : ''}${since !== undefined ? `\nThese are the rows that were added or changed since run ${since}, for a store that holds that run. First delete the ${deletes} ids in \`deletes/*.jsonl\` (\`{"id": …}\` a line), then load the rows. Commands that were interrupted can be run again from the start.\n` : ''}${quantize
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
