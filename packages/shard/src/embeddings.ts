// For programs: the vectors of a run, wherever it lies, and which model made them.

import { type CarriedValue, type Manifest, readCurrent, readManifest } from '@reembed/protocol'
import { ReembedError, shardKey } from '@reembed/shared'
import { openStore, type S3Options, type Store } from '@reembed/store'
import { readShard } from './read/read.ts'

export interface ReadEmbeddingsOptions {
  /** A run's id, instead of the current version. */
  readonly run?: string | undefined
  /** Read carried columns, chunk columns and text as well. */
  readonly extra?: boolean | undefined
  readonly s3?: S3Options | undefined
  readonly signal?: AbortSignal | undefined
}

/** Rows in their order: the vector of row i is at i x dimensions. */
export interface EmbeddingBatch {
  readonly ids: readonly string[]
  readonly vectors: Float32Array
  readonly dimensions: number
  /** Columns by name, where they were asked for. */
  readonly extra: ReadonlyMap<string, readonly CarriedValue[]>
}

/**
 * All rows of a finished run in the order of the corpus, one row group (about 4 MiB) at a time.
 * `url` is an output ('./vectors', 's3://vectors/wiki'), whose current version is read, or one run below it
 * ('s3://vectors/wiki/runs/<run>').
 * @throws ReembedError RUN_NOT_FOUND where nothing is published, or the run is not finished; CORRUPT for a damaged shard.
 */
export async function* readEmbeddings(
  url: string,
  { run, extra, s3, signal }: ReadEmbeddingsOptions = {},
): AsyncGenerator<EmbeddingBatch, void, undefined> {
  const place = parseRunUrl(url)
  await using store = await openStore(place.output, { s3 })
  const manifest = await requireManifest(store, run ?? place.run)
  const { dimensions } = manifest.model
  for (let shard = 0; shard < manifest.shards; shard += 1) {
    const key = shardKey(manifest.run, shard, manifest.shards)
    for await (const { ids, vectors, extra: columns } of readShard(store, key, { extra, signal })) {
      yield { ids, vectors, dimensions, extra: columns }
    }
  }
}

/**
 * The manifest of an output's current version: run, model, revision and prompts, which whoever embeds queries needs, so
 * that documents and queries switch to another model together. Ask again every now and then: it is one LIST and two
 * small reads.
 * @throws ReembedError RUN_NOT_FOUND where nothing is published.
 */
export async function readCurrentManifest(
  url: string,
  { s3 }: Pick<ReadEmbeddingsOptions, 's3'> = {},
): Promise<Manifest> {
  await using store = await openStore(parseRunUrl(url).output, { s3 })
  return requireManifest(store, undefined)
}

/** The manifest of this run, or of the current one. @throws ReembedError RUN_NOT_FOUND, with what there is to do. */
export async function requireManifest(store: Store, run: string | undefined): Promise<Manifest> {
  const wanted = run ?? (await readCurrent(store))?.run
  if (wanted === undefined) {
    throw new ReembedError('RUN_NOT_FOUND', `nothing is published in ${store.url} yet`, {
      reason: 'nothing_published',
    })
  }
  const manifest = await readManifest(store, wanted)
  if (manifest) return manifest
  throw new ReembedError(
    'RUN_NOT_FOUND',
    `run ${wanted} in ${store.url} is not finished, or does not exist`,
    { reason: 'run_not_finished' },
  )
}

/** An output, and the run where the URL names one. */
export function parseRunUrl(url: string): { output: string; run?: string } {
  const [, output, run] = /^(.*?)\/?runs\/([a-z2-7]{26})(?:\/.*)?$/.exec(url) ?? []
  return run === undefined ? { output: url } : { output: output || '.', run }
}
