// What a load and a switch need of a vector store. One file in `stores/` implements it for each
// kind of vector store.
//
//   name     what searches use: a view, an alias or a tag
//   target   the table, collection or index of one run

import type { LoadProof, Manifest, RefusedRow } from '@reembed/protocol'
import type { FlatColumn, ShardBatch } from '@reembed/shard'
import { ReembedError, type RetryOptions } from '@reembed/shared'

/** The target of one run, and what it must hold. */
export interface Target {
  readonly name: string
  readonly target: string
  readonly manifest: Manifest
  /** The columns besides id and vector, in order. */
  readonly extra: readonly FlatColumn[]
}

/** One shard to write. */
export interface ShardWrite {
  /** The id of the load, from `prepare`. */
  readonly load: string
  readonly shard: number
  /**
   * Reads the rows from the output. Each call starts again. Throws CORRUPT at the end of a changed
   * shard. The batches belong to the vector store.
   */
  readonly rows: () => AsyncGenerator<ShardBatch, void, undefined>
}

/** What a target that holds an earlier run must take to hold a later one. */
export interface TargetUpdate {
  /** The id of the load that the target holds. */
  readonly load: string
  /** The shards of the later run with rows that were added or changed, and these rows. */
  readonly shards: () => AsyncGenerator<Pick<ShardWrite, 'shard' | 'rows'>, void, undefined>
  /** Ids that the later run lacks. */
  readonly removed: () => AsyncGenerator<readonly string[], void, undefined>
}

/** The rows of each shard that the vector store cannot hold. */
export type RefusedByShard = ReadonlyMap<number, readonly RefusedRow[]>

export interface VectorStore extends AsyncDisposable {
  readonly kind: string
  /** The URL without credentials. */
  readonly address: string
  /** It runs in the process, so concurrent processes must not write one target. */
  readonly embedded?: true
  /** Whether column names must consist of letters, digits and _. */
  readonly identifiers: boolean
  /** How exactly `read` returns the vectors of a run that were written. */
  compared(manifest: Manifest): LoadProof['compared']

  /**
   * Creates the target without an index, unless it exists, and opens it to the load. Returns the id
   * of the load, which the vector store keeps with the target.
   * @throws ReembedError USAGE if the target holds something else, or cannot hold the run
   */
  prepare(target: Target, signal?: AbortSignal): Promise<string>
  /**
   * Writes the rows of a shard and resolves when they are durable. Idempotent, also beside another
   * process that writes the same shard. Returns the rows that the vector store cannot hold.
   * @throws ReembedError USAGE, see `isNotHeld`, if the target was dropped, finished or updated:
   *   the writer may be a process that was suspended
   */
  write(target: Target, write: ShardWrite, options?: RetryOptions): Promise<readonly RefusedRow[]>
  /**
   * Writes the changed rows over those of the earlier run, deletes the removed ones and those that
   * it cannot hold, and relabels the target. `target.manifest` is that of the later run.
   * Idempotent; resolves when searches find the result.
   * @throws ReembedError USAGE if the target does not hold the load
   */
  update(target: Target, update: TargetUpdate, options?: RetryOptions): Promise<RefusedByShard>
  /** The id of the load that a target holds, whole or in part; undefined if there is none. */
  holds(target: string): Promise<string | undefined>
  /**
   * Closes the target to late writes, builds the index, and resolves when searches use it.
   * Idempotent.
   */
  finish(target: Target, options?: RetryOptions): Promise<void>
  /** The number of rows in a target; undefined if it does not exist. */
  count(target: string): Promise<number | undefined>
  /** The vectors of these ids. Ids that the target lacks are missing in the result. */
  read(target: string, ids: readonly string[]): Promise<ReadonlyMap<string, Float32Array>>
  /** The target that the name points to; undefined if the name does not exist. */
  current(name: string): Promise<string | undefined>
  /**
   * Points the name to a target, and to nothing besides. Searches use either the old or the new
   * one, each as a whole. Changes nothing where that holds already. Of two switches at a time the
   * later one holds, and both return.
   */
  switchTo(name: string, target: string, signal?: AbortSignal): Promise<void>
  /**
   * Deletes a target with everything that the vector store keeps of its load.
   * @throws ReembedError USAGE, reason `target_in_use`, for a target that a name points to. Nothing
   *   was changed then. The check directly precedes the deletion: a switch may have begun meanwhile.
   */
  drop(target: string): Promise<void>
}

/** @param by what points to the target, such as `alias wiki` */
export const targetInUse = (target: string, address: string, by: string): ReembedError =>
  new ReembedError(
    'USAGE',
    `${target} at ${address} is in use (${by}): point that to another target, or remove it, then drop again`,
    { reason: 'target_in_use' },
  )

/** @throws ReembedError USAGE for a target with another alias than those of loads */
export function requireUnused(target: string, address: string, aliases: readonly string[]): void {
  const used = aliases.filter(alias => !isWriteAlias(target, alias))
  if (used.length > 0) throw targetInUse(target, address, `alias ${used.join(', ')}`)
}

const NOT_HELD = 'target_not_held'

/** A target that another process dropped, replaced or finished. */
export const notHeld = (
  target: string,
  load: string,
  address: string,
  fix = 'load the run as a whole',
): ReembedError =>
  new ReembedError('USAGE', `'${target}' at ${address} does not hold the load ${load} any more: ${fix}`, {
    reason: NOT_HELD,
  })

export const isNotHeld = (error: unknown): boolean =>
  error instanceof ReembedError && error.reason === NOT_HELD

/**
 * The alias through which one load writes one run into a target. It exists while the target is open
 * to them, and the server resolves it in each request. So a write of a process that was suspended
 * fails after the target was dropped, finished or updated, and a server that creates indexes by
 * their first document creates none.
 */
export const writeAlias = (target: string, load: string, run: string): string =>
  `${target}_w${load.replace(/[^0-9a-f]/g, '').slice(0, 12)}_${run.slice(0, 12)}`

/** Whether a load writes, or has written, through this alias of a target. */
export const isWriteAlias = (target: string, alias: string): boolean => alias.startsWith(`${target}_w`)
