// The record of a target in a vector store that keeps no metadata of its targets: which load of
// which run it holds. Creating a target and recording its load are two requests, so a process may
// be stopped between them, and several processes may prepare one target at a time. They agree on
// one load:
//
//   create -> record                      the creator
//   exists -> wait for the record         any other process
//   no record in time, no rows -> record  its creator was stopped

import { createHash, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { ReembedError } from '@reembed/shared'
import type { Target } from './vector-store.ts'

export interface TargetRecord {
  readonly load: string
  /** Empty after a drop. */
  readonly run: string
  readonly shardsSha256: string
}

/** The requests for one target. */
export interface RecordedTarget {
  readonly address: string
  /** Creates the target. False if it exists. */
  create(): Promise<boolean>
  hasRows(): Promise<boolean>
  read(): Promise<TargetRecord | undefined>
  put(record: TargetRecord): Promise<unknown>
  /** How long a creator may take to record its load, and how often another process reads it. */
  readonly wait: { readonly forMs: number; readonly everyMs: number }
}

/**
 * The record of a target that was dropped: the next load that has no creator takes its id. The ids
 * of the shards that a load has written are kept in the output, so no load has the id of another.
 */
export const droppedRecord = (): TargetRecord => ({ load: randomUUID(), run: '', shardsSha256: '' })

/** The record of what a target holds. */
export const heldRecord = (record: TargetRecord | undefined): TargetRecord | undefined =>
  record?.run === '' ? undefined : record

/**
 * Creates a target unless it exists, and records a load of the run. Returns the id of the load.
 * @throws ReembedError USAGE if the target holds something else
 */
export async function prepareRecorded(
  { target, manifest: { run, shardsSha256 } }: Pick<Target, 'target' | 'manifest'>,
  { address, create, hasRows, read, put, wait }: RecordedTarget,
  signal?: AbortSignal,
): Promise<string> {
  const before = await read()
  const isNew = await create()
  const known = isNew ? undefined : await recordOfCreator({ read, wait }, signal)
  if (known?.run === run && known.shardsSha256 === shardsSha256) return known.load
  if (known || (!isNew && (await hasRows()))) {
    throw new ReembedError(
      'USAGE',
      `'${target}' at ${address} holds ${known ? `other vectors, of run ${known.run}` : 'rows that reembed did not load'}: drop it, or choose another name`,
      { option: 'name' },
    )
  }
  // A creator that was slow finds the record of a process that took it for a stopped one.
  const recorded = isNew ? heldRecord(await read()) : undefined
  const isTaken = recorded !== undefined && isRecordedSince(before, recorded)
  const load = isTaken ? recorded.load : isNew ? randomUUID() : loadOfStopped(target, before)
  await put({ load, run, shardsSha256 })
  // Another process may have recorded one at the same time.
  return heldRecord(await read())?.load ?? load
}

/** The record of a target that exists; waits for a creator that has not recorded it yet. */
async function recordOfCreator(
  { read, wait: { forMs, everyMs } }: Pick<RecordedTarget, 'read' | 'wait'>,
  signal: AbortSignal | undefined,
): Promise<TargetRecord | undefined> {
  const endMs = performance.now() + forMs
  while (true) {
    const known = heldRecord(await read())
    if (known !== undefined || performance.now() > endMs) return known
    await sleep(everyMs, undefined, { signal })
  }
}

/**
 * The load of a target whose creator was stopped before it recorded one. Processes that find such a
 * target at a time must agree, so the id depends on the record of the last drop, or on the target.
 */
const loadOfStopped = (target: string, record: TargetRecord | undefined): string =>
  record?.run === '' ? record.load : createHash('sha256').update(target).digest('hex').slice(0, 32)

/** Whether a load was recorded since `before` was read. */
const isRecordedSince = (before: TargetRecord | undefined, now: TargetRecord): boolean =>
  now.load !== before?.load || now.run !== before.run
