// Reads the vectors of a run and its manifest from any store.

import { type CarriedValue, type Manifest, readCurrent, readManifest } from '@reembed/protocol'
import { ReembedError, shardKey } from '@reembed/shared'
import { openStore, type S3Options, type Store } from '@reembed/store'
import { readShard } from './read/read.ts'

export interface ReadEmbeddingsOptions {
  /** Id of the run to read. Default: the run of the current version. */
  readonly run?: string | undefined
  /** Whether to read carried columns, chunk columns and text as well. Default: false. */
  readonly extra?: boolean | undefined
  readonly s3?: S3Options | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Rows in corpus order. The vector of row i is `vectors.subarray(i * dimensions, (i + 1) *
 * dimensions)`.
 */
export interface EmbeddingBatch {
  readonly ids: readonly string[]
  readonly vectors: Float32Array
  readonly dimensions: number
  /** The other columns by name; empty without the option `extra`. */
  readonly extra: ReadonlyMap<string, readonly CarriedValue[]>
}

/**
 * Yields all rows of a finished run in corpus order, one row group (about 4 MiB of vectors) at a
 * time.
 * @param url an output ('./vectors', 's3://vectors/wiki'), of which the current version is read, or
 * one of its runs ('s3://vectors/wiki/runs/<run>')
 * @throws ReembedError RUN_NOT_FOUND if no version is published or the run is not finished
 * @throws ReembedError CORRUPT for a damaged shard
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
 * Reads the manifest of the current version of an output: run, model, revision and prompts. A
 * program that embeds queries needs it to switch models together with the documents; it should
 * poll. Cost: one LIST and two small reads.
 * @throws ReembedError RUN_NOT_FOUND if no version is published
 */
export async function readCurrentManifest(
  url: string,
  { s3 }: Pick<ReadEmbeddingsOptions, 's3'> = {},
): Promise<Manifest> {
  await using store = await openStore(parseRunUrl(url).output, { s3 })
  return requireManifest(store, undefined)
}

/**
 * Reads the manifest of a run; without `run`, of the current version. @throws ReembedError
 * RUN_NOT_FOUND
 */
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

/** Splits a URL into its output and, if it contains one, its run id. */
export function parseRunUrl(url: string): { output: string; run?: string } {
  const [, output, run] = /^(.*?)\/?runs\/([a-z2-7]{26})(?:\/.*)?$/.exec(url) ?? []
  return run === undefined ? { output: url } : { output: output || '.', run }
}
