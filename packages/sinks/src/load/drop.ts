// Deletes the target of a run from a vector store. Nothing else deletes one.

import {
  contentOfTarget,
  DEFAULT_TARGET_NAME,
  type LoadRecord,
  putLoadRecord,
  readLoadRecordsOf,
  targetsToDrop,
} from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import type { SwitchOptions } from './switch.ts'
import type { VectorStore } from './vector-store.ts'

/**
 * Deletes the targets of a run, except one that searches use, and records that. Returns the last
 * record.
 * @throws ReembedError USAGE if searches use the only target
 * @throws ReembedError RUN_NOT_FOUND if the vector store has no target of the run
 */
export async function dropTarget(
  source: Store,
  vectors: VectorStore,
  run: string,
  { name = DEFAULT_TARGET_NAME, by, reason }: Pick<SwitchOptions, 'name' | 'by' | 'reason'> = {},
): Promise<LoadRecord> {
  const { address } = vectors
  const records = await readLoadRecordsOf(source, vectors, name)
  const used = await vectors.current(name)
  const targets = targetsToDrop(records, name, run)
  let dropped: LoadRecord | undefined
  for (const target of targets) {
    if (target === used) continue
    const exists = (await vectors.count(target)) !== undefined
    const action = contentOfTarget(records, target)?.action
    // Also after a drop that was interrupted before its record.
    if (!exists && action !== 'load' && action !== 'update') continue
    await vectors.drop(target)
    dropped = await putLoadRecord(source, { action: 'drop', address, name, target, run, by, reason })
  }
  if (dropped) return dropped
  if (used !== undefined && targets.includes(used)) {
    throw new ReembedError(
      'USAGE',
      `searches for '${name}' at ${address} use ${used}: switch to another run first`,
      { reason: 'target_in_use' },
    )
  }
  throw new ReembedError('RUN_NOT_FOUND', `${address} has no ${targets[0]}, which would hold run ${run}`)
}
