// Deletes the blocks of copied tables that no plan names any more. A planner may use a block again
// at the same time, so a block is marked before the plans are read a last time, and its name is
// never used again: a planner reads the marks after it has written its plan, so one of the two
// observes the other.

import { isCopied, readPlan, readSeq, readSlices } from '@reembed/protocol'
import { DELETED_BLOCK, mapConcurrent, TABLES, tablePrefix } from '@reembed/shared'
import type { ListedObject, ObjectDeleter, Store } from '@reembed/store'
import { lastReferencedMs, type RetentionPolicy, tooRecentReason } from './retention.ts'

export interface UnusedBlocks {
  readonly objects: number
  readonly bytes: number
}

const DELETES_AT_ONCE = 16

/**
 * The blocks that only runs in `deletable` name, or none. With a deleter, marks and deletes those
 * that no plan names.
 */
export async function collectBlocks(
  store: Store,
  rules: RetentionPolicy,
  {
    deletable = [],
    deleter,
    signal,
  }: {
    readonly deletable?: Iterable<string>
    readonly deleter?: ObjectDeleter | undefined
    readonly signal?: AbortSignal | undefined
  } = {},
): Promise<UnusedBlocks> {
  // One run is deleted on its own: its blocks may be those of others, and the next gc decides.
  if (rules.run !== undefined) return { objects: 0, bytes: 0 }
  const unused = new Map<string, ListedObject>()
  for await (const object of store.list(TABLES, { signal }))
    if (!object.key.endsWith(DELETED_BLOCK) && !tooRecentReason(lastReferencedMs([object]), rules))
      unused.set(object.key, object)
  await withoutNamed(store, unused, new Set(deletable), signal)
  if (deleter !== undefined && unused.size > 0) {
    const marks = mapConcurrent(
      [...unused.keys()],
      (key, stop) =>
        store.putIfAbsent(`${key}${DELETED_BLOCK}`, Buffer.from('deleted by gc\n'), { signal: stop }),
      { concurrency: DELETES_AT_ONCE, signal },
    )
    for await (const _ of marks);
    await withoutNamed(store, unused, new Set(), signal)
    const deletes = mapConcurrent([...unused.keys()], (key, stop) => deleter.delete(key, { signal: stop }), {
      concurrency: DELETES_AT_ONCE,
      signal,
    })
    for await (const _ of deletes);
  }
  return { objects: unused.size, bytes: unused.values().reduce((sum, { size }) => sum + size, 0) }
}

/** Removes the blocks that the plans of runs name. */
async function withoutNamed(
  store: Store,
  blocks: Map<string, ListedObject>,
  ignored: ReadonlySet<string>,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (blocks.size === 0) return
  for (const { run } of await readSeq(store)) {
    signal?.throwIfAborted()
    const plan = ignored.has(run) ? undefined : await readPlan(store, run)
    if (plan === undefined || !isCopied(plan.table)) continue
    const prefix = tablePrefix(plan.table.address, plan.table.name)
    for await (const { parts } of readSlices(store, plan))
      for (const { key } of parts) blocks.delete(prefix + key)
  }
}
