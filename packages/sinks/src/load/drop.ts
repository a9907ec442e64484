// Deletes the target of a run from a vector store. Nothing else deletes one.

import { type LoadRecord, putLoadRecord, readLoadRecords } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { DEFAULT_NAME, requireName, targetOf } from './load.ts'
import { loadOfRun, type SwitchOptions } from './switch.ts'
import type { VectorStore } from './vector-store.ts'

/**
 * Deletes the target of a run, unless searches use it, and records that.
 * @throws ReembedError USAGE if searches use the target
 * @throws ReembedError RUN_NOT_FOUND if the vector store has no target of the run
 */
export async function dropTarget(
  source: Store,
  vectors: VectorStore,
  run: string,
  { name = DEFAULT_NAME, by, reason }: Pick<SwitchOptions, 'name' | 'by' | 'reason'> = {},
): Promise<LoadRecord> {
  const { address } = vectors
  const records = (await Array.fromAsync(readLoadRecords(source))).filter(
    record => record.address === address && record.name === requireName(name),
  )
  const target = loadOfRun(records, run)?.target ?? targetOf(name, run)
  if ((await vectors.current(name)) === target) {
    throw new ReembedError(
      'USAGE',
      `searches for '${name}' at ${address} use ${target}: switch to another run first`,
      { reason: 'target_in_use' },
    )
  }
  const exists = (await vectors.count(target)) !== undefined
  const last = records.find(record => record.target === target && record.action !== 'switch')
  // Also after a drop that was interrupted before its record.
  if (!exists && last?.action !== 'load') {
    throw new ReembedError('RUN_NOT_FOUND', `${address} has no ${target}, which would hold run ${run}`)
  }
  await vectors.drop(target)
  return putLoadRecord(source, { action: 'drop', address, name, target, run, by, reason })
}
