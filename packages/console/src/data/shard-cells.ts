// The shards of a run as cells of a map: one cell a shard, or a bin of several.

import type { RunFacts } from '@reembed/producer'
import { type Manifest, readManifestShards } from '@reembed/protocol'
import type { Store } from '@reembed/store'

/**
 * - `waiting`: no worker has it.
 * - `active`: a worker embeds it.
 * - `done`: its object is in the store.
 * - `reused`: its object was carried over from another run.
 * - `rejects`: it is done, and some of its documents were rejected. Known once the run is finished.
 * - `failed`: its job has no attempts left.
 */
export const SHARD_STATES = ['waiting', 'active', 'done', 'reused', 'rejects', 'failed'] as const
export type ShardState = (typeof SHARD_STATES)[number]

export interface ShardCells {
  readonly shards: number
  /** Number of shards in each state. */
  readonly counts: Readonly<Record<ShardState, number>>
  readonly shardsPerCell: number
  /** An index into SHARD_STATES for each cell. */
  readonly cells: Uint8Array
}

/** Cells that a page draws; a run of more shards gets several in a cell. */
export const MAX_CELLS = 5_000

const code = (state: ShardState): number => SHARD_STATES.indexOf(state)

/** The states of an unfinished run, from the listing of its shards and from Redis. */
export function openShardStates(
  { plan, shards }: RunFacts,
  active: Iterable<number>,
  failed: Iterable<number>,
): Uint8Array {
  const states = new Uint8Array(plan?.shards ?? 0)
  for (const shard of failed) if (shard < states.length) states[shard] = code('failed')
  for (const shard of active) if (shard < states.length) states[shard] = code('active')
  const done = code('done')
  for (const [shard, isPresent] of (shards.present ?? []).entries()) if (isPresent === 1) states[shard] = done
  return states
}

/** The shards of a finished run. */
export interface FinishedShards {
  /** An index into SHARD_STATES for each shard. */
  readonly states: Uint8Array
  /** Of the shards that this run embedded; 0 for one that was carried over. */
  readonly documents: Float64Array
  readonly tokens: Float64Array
}

/** Reads the shards of a finished run from its manifest: one object for a thousand of them. */
export async function readFinishedShards(store: Store, manifest: Manifest): Promise<FinishedShards> {
  const states = new Uint8Array(manifest.shards)
  const [documents, tokens] = [new Float64Array(manifest.shards), new Float64Array(manifest.shards)]
  let shard = 0
  for await (const entry of readManifestShards(store, manifest)) {
    const isCarried = entry.carriedFrom !== undefined
    states[shard] = code(entry.rejects > 0 ? 'rejects' : isCarried ? 'reused' : 'done')
    documents[shard] = isCarried ? 0 : entry.rows + entry.rejects
    tokens[shard] = isCarried ? 0 : (entry.tokens ?? 0)
    shard += 1
  }
  return { states, documents, tokens }
}

/**
 * Puts shards in a row into cells. A failed or active shard decides its cell, else the majority.
 */
export function cellsOf(states: Uint8Array, maxCells: number = MAX_CELLS): ShardCells {
  const shardsPerCell = Math.max(1, Math.ceil(states.length / maxCells))
  const cells = new Uint8Array(Math.ceil(states.length / shardsPerCell))
  const totals = new Array<number>(SHARD_STATES.length).fill(0)
  for (let cell = 0; cell < cells.length; cell += 1) {
    const found = new Array<number>(SHARD_STATES.length).fill(0)
    for (const state of states.subarray(cell * shardsPerCell, (cell + 1) * shardsPerCell)) {
      found[state] = (found[state] ?? 0) + 1
      totals[state] = (totals[state] ?? 0) + 1
    }
    const decisive = [code('failed'), code('active')].find(state => (found[state] ?? 0) > 0)
    cells[cell] = decisive ?? found.indexOf(Math.max(...found))
  }
  const counts = Object.fromEntries(SHARD_STATES.map((state, i) => [state, totals[i] ?? 0]))
  return { shards: states.length, counts: counts as Record<ShardState, number>, shardsPerCell, cells }
}
