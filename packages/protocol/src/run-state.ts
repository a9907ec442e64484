// The state of a run and its budget. Each change appends a run state record under a write-once key;
// a LIST returns the latest record first. Workers read the state before each job and sweepers
// before each run, so a change takes effect without Redis.
//
// Deletion is two-phase. `deleting` reserves the run: planners, workers and sweepers refuse it
// while gc checks a last time that nothing references it; gc may still restore the previous state.
// `deleted` commits: objects may be erased. It is terminal, and its record remains as a tombstone.

import {
  amount,
  ERROR_CODES,
  type ErrorCode,
  oneOf,
  optional,
  positive,
  ReembedError,
  record,
  runStateKey,
  runStatePrefix,
  text,
} from '@reembed/shared'
import { objectKind, type Store } from '@reembed/store'
import { type Actor, type Attribution, attributionFields, stamped } from './attribution.ts'

/**
 * `failed`: the run cannot be finalized as it is. `deleting`: gc may still restore the run.
 * `deleted`: terminal; gc erases or has erased its objects.
 */
export type RunState = 'running' | 'paused' | 'cancelled' | 'failed' | 'deleting' | 'deleted'

/** Limits of a run for all its workers together. */
export interface RunBudget {
  /** Maximum tokens, as the server counts them. */
  readonly maxTokens?: number | undefined
  /** Maximum time in which at least one worker embeds. */
  readonly maxEndpointSeconds?: number | undefined
}

/** The error that ended a run: it is not due to a dependency, so a repetition fails again. */
export interface RunFailure {
  readonly code: ErrorCode
  readonly message: string
}

/** One change of a run's state. */
export interface RunStateRecord extends RunBudget, Attribution {
  readonly state: RunState
  /** Set in state `failed`. */
  readonly failure?: RunFailure | undefined
  /** Set if a worker paused the run because of its budget: the limit and the usage. */
  readonly budgetExceeded?: string | undefined
  /** Set if a worker paused the run because its model was replaced (`pauseReplacedModel`). */
  readonly modelReplaced?: string | undefined
  /**
   * The sequence number of the version that superseded the run when an operator continued it: its
   * jobs are processed until a newer version is published.
   */
  readonly continuedAfterSeq?: number | undefined
  /** The state before `deleting`, which gc restores if it cancels the deletion. */
  readonly previousState?: Exclude<RunState, 'deleting' | 'deleted'> | undefined
}

/** A run state record with its number. */
export interface NumberedRunState extends RunStateRecord {
  /** The first record of a run is 1; 0 means that the run has no record. */
  readonly number: number
}

/** Whether gc deletes or has deleted the run: nothing may use it. */
export const isDeletion = (state: RunState): state is 'deleting' | 'deleted' =>
  state === 'deleting' || state === 'deleted'

/** Reads the state of a run with one LIST and at most one GET. */
export async function readRunState(store: Store, run: string): Promise<RunState> {
  return (await readRunStateRecord(store, run)).state
}

/**
 * Reads the latest run state record. The default is `running` without limits.
 * @throws ReembedError CORRUPT if the record is invalid
 */
export async function readRunStateRecord(store: Store, run: string): Promise<NumberedRunState> {
  for await (const { key } of store.list(runStatePrefix(run))) {
    const record = await states.read(store, key)
    if (record === undefined)
      throw new ReembedError('CORRUPT', `${key} in ${store.url} was deleted while it was read: restore it`)
    if (runStateKey(run, record.number) === key) return record
    throw new ReembedError(
      'CORRUPT',
      `${key} in ${store.url} is not ${RECORD_NOUN}: it contains record ${record.number}`,
    )
  }
  return { number: 0, state: 'running' }
}

/** Yields the run state records of a run, newest first. */
export async function* readRunStates(
  store: Store,
  run: string,
): AsyncGenerator<NumberedRunState, void, undefined> {
  for await (const { key } of store.list(runStatePrefix(run))) {
    const record = await states.read(store, key)
    // Deleted between LIST and read.
    if (record) yield record
  }
}

/**
 * Sets the state of a run and returns the previous state. Idempotent: it appends no record if state
 * and budget are unchanged.
 * @param options `budget` replaces the budget; without it, the budget is kept
 * @throws ReembedError RUN_STOPPED for a run in state `deleting` or `deleted`
 */
export async function setRunState(
  store: Store,
  run: string,
  state: RunState,
  options: Actor & {
    readonly budget?: RunBudget | undefined
    readonly budgetExceeded?: string | undefined
    readonly modelReplaced?: string | undefined
    readonly continuedAfterSeq?: number | undefined
    /** Changes the state only if it is `running`: a pause or a cancellation is not undone. */
    readonly onlyRunning?: boolean | undefined
  } = {},
): Promise<RunState> {
  while (true) {
    const last = await readRunStateRecord(store, run)
    const before = last.state
    const { maxTokens, maxEndpointSeconds } = options.budget ?? last
    const { continuedAfterSeq = last.continuedAfterSeq } = options
    const isUnchanged =
      before === state &&
      last.maxTokens === maxTokens &&
      last.maxEndpointSeconds === maxEndpointSeconds &&
      last.continuedAfterSeq === continuedAfterSeq
    if (isUnchanged || (options.onlyRunning && before !== 'running')) return before
    if (isDeletion(before)) throw deletedError(store, run, last, 'RUN_STOPPED')
    const { budgetExceeded, modelReplaced, by, reason } = options
    const why = { budgetExceeded, modelReplaced, by, reason }
    const record = { state, maxTokens, maxEndpointSeconds, continuedAfterSeq, ...why }
    if (await appendRunState(store, run, last, record)) return before
  }
}

/**
 * Records that a running run cannot be finalized. No effect in any other state: a person or gc has
 * changed it meanwhile.
 */
export async function failRun(store: Store, run: string, failure: RunFailure, by: string): Promise<void> {
  const last = await readRunStateRecord(store, run)
  if (last.state !== 'running') return
  const { maxTokens, maxEndpointSeconds } = last
  await appendRunState(store, run, last, { state: 'failed', failure, maxTokens, maxEndpointSeconds, by })
}

/** The predicate of an error message for a run in state `deleting` or `deleted`. */
const deletionReason = ({ state }: RunStateRecord): string =>
  state === 'deleted' ? 'was deleted: plan it again, which makes another run' : 'is being deleted'

/**
 * Reads the state of a run.
 * @throws ReembedError with `code` for a run in state `deleting` or `deleted`
 */
export async function refuseDeleted(
  store: Store,
  run: string,
  code: 'RUN_STOPPED' | 'RUN_NOT_FOUND',
): Promise<RunStateRecord> {
  const record = await readRunStateRecord(store, run)
  if (isDeletion(record.state)) throw deletedError(store, run, record, code)
  return record
}

const deletedError = (
  store: Store,
  run: string,
  record: RunStateRecord,
  code: 'RUN_STOPPED' | 'RUN_NOT_FOUND',
): ReembedError =>
  new ReembedError(code, `run ${run} in ${store.url} ${deletionReason(record)}`, {
    reason: record.state === 'deleted' ? 'run_deleted' : 'run_deleting',
  })

/**
 * Appends `record` after `last`, with the present time. Returns undefined if a concurrent writer
 * has appended a record since.
 */
export async function appendRunState(
  store: Store,
  run: string,
  last: NumberedRunState,
  record: RunStateRecord,
): Promise<NumberedRunState | undefined> {
  const appended: NumberedRunState = stamped({ ...record, number: last.number + 1 })
  const outcome = await states.put(store, runStateKey(run, appended.number), appended)
  return outcome === 'created' ? appended : undefined
}

const STATES: readonly RunState[] = ['running', 'paused', 'cancelled', 'failed', 'deleting', 'deleted']
const RECORD_NOUN = 'a run state record that reembed wrote'

const states = objectKind<NumberedRunState>({
  noun: RECORD_NOUN,
  shape: record<NumberedRunState>({
    number: positive,
    state: oneOf(STATES),
    failure: optional(record<RunFailure>({ code: oneOf(ERROR_CODES), message: text })),
    maxTokens: optional(amount),
    maxEndpointSeconds: optional(amount),
    budgetExceeded: optional(text),
    modelReplaced: optional(text),
    continuedAfterSeq: optional(positive),
    previousState: optional(oneOf(STATES.filter(state => !isDeletion(state)))),
    ...attributionFields,
  }),
})
