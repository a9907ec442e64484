// What people have said about a run: pause, go on, cancel, and what it may use. Each word is one more write-once key,
// the newest is listed first and counts. Workers look before each job, sweeps before each run; so it reaches everybody
// without Redis.

import {
  bool,
  is,
  oneOf,
  optional,
  positive,
  ReembedError,
  record,
  requireShape,
  runStateKey,
  runStatePrefix,
  text,
} from '@reembed/shared'
import { getJson, putJson, type Store } from '@reembed/store'

/** A run that gc deletes is `removed` from before it is looked at for the last time, and stays it for good. */
export type RunState = 'running' | 'paused' | 'cancelled' | 'deleting'

/** What a run may use of its endpoint, all its workers together. */
export interface RunBudget {
  /** As the server counts them. */
  readonly maxTokens?: number | undefined
  /** While anybody embeds. */
  readonly maxEndpointSeconds?: number | undefined
}

export interface RunStateRecord extends RunBudget {
  readonly state: RunState
  /** Set where a worker paused the run because it would have gone over its limits: the limit and what was used. */
  readonly budgetExceeded?: string | undefined
  /** Of a run that is `removed`: what held before. */
  readonly previousState?: Exclude<RunState, 'deleting'> | undefined
  /** Of a run that is `removed`: it was found to be needed by nobody, and its objects go. The last word about a run. */
  readonly deletionCommitted?: boolean | undefined
}

export interface NumberedRunState extends RunStateRecord {
  /** The first word about a run is 1; 0 where nothing was said. */
  readonly number: number
}

/** Whether the run may be worked on. One LIST. */
export async function readRunState(store: Store, run: string): Promise<RunState> {
  return (await readRunStateRecord(store, run)).state
}

/** The last word about a run; one of which nobody has said anything is running, without limits. */
export async function readRunStateRecord(store: Store, run: string): Promise<NumberedRunState> {
  for await (const { key } of store.list(runStatePrefix(run))) {
    const found = await getJson(store, key)
    const what = `${key} in ${store.url} is nothing that reembed wrote`
    const record = requireShape<NumberedRunState>(runStateShape, found, what)
    if (runStateKey(run, record.number) === key) return record
    throw new ReembedError('CORRUPT', `${what}: it says that it is record ${record.number}`)
  }
  return { number: 0, state: 'running' }
}

/**
 * Says it, unless it was the last thing said. Returns what held before.
 * @param options the budget that holds from now on; the one that held, if not given
 * @throws ReembedError RUN_STOPPED for a run that is being removed
 */
export async function setRunState(
  store: Store,
  run: string,
  state: RunState,
  options: {
    readonly budget?: RunBudget | undefined
    readonly budgetExceeded?: string | undefined
  } = {},
): Promise<RunState> {
  while (true) {
    const last = await readRunStateRecord(store, run)
    const before = last.state
    const { maxTokens, maxEndpointSeconds } = options.budget ?? last
    const isSaid =
      before === state && last.maxTokens === maxTokens && last.maxEndpointSeconds === maxEndpointSeconds
    if (isSaid) return before
    if (before === 'deleting') {
      throw deletedError(store, run, last, 'RUN_STOPPED')
    }
    const record = { state, maxTokens, maxEndpointSeconds, budgetExceeded: options.budgetExceeded }
    if (await appendRunState(store, run, last, record)) return before
  }
}

/** Why a run that gc deletes, or has deleted, cannot be used. */
export const deletionReason = ({ deletionCommitted }: RunStateRecord): string =>
  deletionCommitted ? 'was deleted: planning it again makes another run' : 'is being deleted'

/** @throws ReembedError with this `code` for a run that gc deletes, or has deleted. */
export async function refuseDeleted(
  store: Store,
  run: string,
  code: 'RUN_STOPPED' | 'RUN_NOT_FOUND',
): Promise<void> {
  const record = await readRunStateRecord(store, run)
  if (record.state === 'deleting') throw deletedError(store, run, record, code)
}

const deletedError = (
  store: Store,
  run: string,
  record: RunStateRecord,
  code: 'RUN_STOPPED' | 'RUN_NOT_FOUND',
): ReembedError =>
  new ReembedError(code, `run ${run} in ${store.url} ${deletionReason(record)}`, {
    reason: record.deletionCommitted ? 'run_deleted' : 'run_deleting',
  })

/** Appends `record` after `last`; undefined where another process has appended a record since. */
export async function appendRunState(
  store: Store,
  run: string,
  last: NumberedRunState,
  record: RunStateRecord,
): Promise<NumberedRunState | undefined> {
  const appended: NumberedRunState = { ...record, number: last.number + 1 }
  const outcome = await putJson(store, runStateKey(run, appended.number), { format: 1, ...appended })
  return outcome === 'created' ? appended : undefined
}

const STATES: readonly RunState[] = ['running', 'paused', 'cancelled', 'deleting']
const amount = is(value => typeof value === 'number' && value >= 0)

const runStateShape = record<NumberedRunState>({
  number: positive,
  state: oneOf(STATES),
  maxTokens: optional(amount),
  maxEndpointSeconds: optional(amount),
  budgetExceeded: optional(text),
  previousState: optional(oneOf(STATES)),
  deletionCommitted: optional(bool),
})
