import { type Manifest, ReembedError, readManifest, readShard, type Store, shardKey } from '@reembed/shared'
import { assertSameModel, openEndpoint } from '@reembed/worker'
import { findRun } from '../find-run.ts'
import { print, printable } from '../format.ts'
import type { EndpointFlags, JsonFlag, OutputFlags } from '../options.ts'
import { openFinished, openOrStartEndpoint } from '../parts.ts'

interface Flags extends EndpointFlags, OutputFlags, JsonFlag {
  readonly top: number
  readonly run?: string
  readonly queryPrompt: string
}

interface Hit {
  readonly id: string
  readonly score: number
}

/** `reembed search`: embeds the query with the run's own model and compares it with every vector. Exact, for trying out. */
export async function search(text: string, flags: Flags): Promise<void> {
  if (text.trim() === '') throw new ReembedError('USAGE', 'the text to search for is empty')
  await using stack = new AsyncDisposableStack()
  const store = stack.use(await openFinished(flags))
  const run = await findRun(store, flags.run, 'current')
  const manifest = await readManifest(store, run)
  if (!manifest)
    throw new ReembedError('RUN_UNKNOWN', `run ${run} is not finished: \`reembed status\` says how far it is`)
  const { url, options } = await openOrStartEndpoint(flags, stack)
  const endpoint = stack.use(await openEndpoint(url, options))
  assertSameModel(manifest.model, {
    ...endpoint,
    info: { ...endpoint.info, revision: endpoint.info.revision ?? manifest.model.revision },
  })
  const query = await endpoint.embed([`${flags.queryPrompt}${text.toWellFormed()}`])
  const hits = await nearest(store, manifest, query, flags.top)
  print(flags.json, hits, hits.map(({ id, score }) => `${score.toFixed(4)}  ${printable(id)}`).join('\n'))
}

/** The `top` rows with the highest cosine, best first. Holds one row group at a time. */
async function nearest(
  store: Store,
  { run, shards, model }: Manifest,
  query: Float32Array,
  top: number,
): Promise<Hit[]> {
  const { dimensions } = model
  const best: Hit[] = []
  for (let shard = 0; shard < shards; shard += 1) {
    for await (const { ids, vectors } of readShard(store, shardKey(run, shard, shards))) {
      for (const [row, id] of ids.entries()) {
        const score = likeness(query, vectors, row * dimensions)
        if (best.length === top && score <= (best.at(-1)?.score ?? 0)) continue
        const place = best.findIndex(hit => hit.score < score)
        best.splice(place === -1 ? best.length : place, 0, { id, score })
        best.length = Math.min(best.length, top)
      }
    }
  }
  return best
}

function likeness(query: Float32Array, vectors: Float32Array, start: number): number {
  let dot = 0
  let queryNorm = 0
  let norm = 0
  for (let i = 0; i < query.length; i += 1) {
    const [a = 0, b = 0] = [query[i], vectors[start + i]]
    dot += a * b
    queryNorm += a * a
    norm += b * b
  }
  return dot / Math.sqrt(queryNorm * norm)
}
