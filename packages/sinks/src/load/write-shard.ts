// Writes one shard of a run into a target, and records that the vector store has taken it.

import { columnsOf, type RunShard, rowsOf } from '@reembed/export'
import { type LoadedShard, putLoadedShard, readLoadedShard } from '@reembed/protocol'
import { type RetryOptions, withRetries } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { isNotHeld, type Target, type VectorStore } from './vector-store.ts'

/**
 * Idempotent, also beside another process that writes the same shard.
 * @throws ReembedError of the vector store, or CORRUPT for a shard that the manifest does not match
 */
export async function writeShard(
  source: Store,
  vectors: VectorStore,
  {
    target,
    load,
    shard,
    signal,
    onWait,
  }: { readonly target: Target; readonly load: string; readonly shard: RunShard } & RetryOptions,
): Promise<LoadedShard> {
  const { manifest } = target
  const columns = columnsOf(manifest, { identifiers: vectors.identifiers })
  const options = { dimensions: manifest.model.dimensions, columns, verify: true, signal }
  const write = { load, shard: shard.shard, rows: () => rowsOf(source, shard, options) }
  const retries = { signal, onWait }
  const refused = await withRetries(() => vectors.write(target, write, retries), retries).catch(
    async (error: unknown) => {
      // Another process has written the shard, and finished the load.
      const known = isNotHeld(error) && (await readLoadedShard(source, manifest, load, shard.shard))
      if (known) return known.refused
      throw error
    },
  )
  const loaded = { shard: shard.shard, rows: shard.rows - refused.length, refused }
  await putLoadedShard(source, manifest, load, loaded)
  return loaded
}
