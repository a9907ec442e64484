// What people have said about a run: pause, go on, cancel, and what it may use. Each word is one more write-once key,
// the newest is listed first and counts. Workers look before each job, sweeps before each run; so it reaches everybody
// without Redis.

import {
  controlKey,
  controlPrefix,
  flag,
  is,
  oneOf,
  perhaps,
  positive,
  ReembedError,
  record,
  requireShape,
  text,
} from '@reembed/shared'
import { getJson, putJson, type Store } from '@reembed/store'

/** A run that `reembed gc` removes is `removed` from before it is looked at for the last time, and stays it for good. */
export type RunState = 'running' | 'paused' | 'cancelled' | 'removed'

/** What a run may use of its endpoint, all its workers together. */
export interface RunLimits {
  /** As the server counts them. */
  readonly maxTokens?: number | undefined
  /** While anybody embeds. */
  readonly maxEndpointSeconds?: number | undefined
}

export interface RunWord extends RunLimits {
  readonly state: RunState
  /** Set where a worker paused the run because it would have gone over its limits: the limit and what was used. */
  readonly spent?: string | undefined
  /** Of a run that is `removed`: what held before. */
  readonly before?: Exclude<RunState, 'removed'> | undefined
  /** Of a run that is `removed`: it was found to be needed by nobody, and its objects go. The last word about a run. */
  readonly erasing?: boolean | undefined
}

export interface NumberedWord extends RunWord {
  /** The first word about a run is 1; 0 where nothing was said. */
  readonly number: number
}

/** Whether the run may be worked on. One LIST. */
export async function readRunState(store: Store, run: string): Promise<RunState> {
  return (await readRunWord(store, run)).state
}

/** The last word about a run; one of which nobody has said anything is running, without limits. */
export async function readRunWord(store: Store, run: string): Promise<NumberedWord> {
  for await (const { key } of store.list(controlPrefix(run))) {
    const found = await getJson(store, key)
    const what = `${key} in ${store.url} is nothing that reembed wrote`
    const word = requireShape<NumberedWord>(wordShape, found, what)
    if (controlKey(run, word.number) === key) return word
    throw new ReembedError('CORRUPT', `${what}: it says that it is word ${word.number}`)
  }
  return { number: 0, state: 'running' }
}

/**
 * Says it, unless it was the last thing said. Returns what held before.
 * @param said limits that hold from now on; those that held, if not given
 * @throws ReembedError RUN_STOPPED for a run that is being removed
 */
export async function setRunState(
  store: Store,
  run: string,
  state: RunState,
  said: {
    readonly limits?: RunLimits | undefined
    readonly spent?: string | undefined
  } = {},
): Promise<RunState> {
  while (true) {
    const last = await readRunWord(store, run)
    const before = last.state
    const { maxTokens, maxEndpointSeconds } = said.limits ?? last
    const isSaid =
      before === state && last.maxTokens === maxTokens && last.maxEndpointSeconds === maxEndpointSeconds
    if (isSaid) return before
    if (before === 'removed') {
      throw removedError(store, run, last, 'RUN_STOPPED')
    }
    const word = { state, maxTokens, maxEndpointSeconds, spent: said.spent }
    if (await sayNext(store, run, last, word)) return before
  }
}

/** What to say of a run that is `removed` to somebody who wants it. */
export const whyRemoved = ({ erasing }: RunWord): string =>
  erasing
    ? 'was removed: the command that planned it makes it again, as another run'
    : 'is being removed: `reembed gc --delete` ends that, or spares it'

/** @throws ReembedError for a run that is being removed, or was: `code` is what that is to the caller */
export async function refuseRemoved(
  store: Store,
  run: string,
  code: 'RUN_STOPPED' | 'RUN_UNKNOWN',
): Promise<void> {
  const word = await readRunWord(store, run)
  if (word.state === 'removed') throw removedError(store, run, word, code)
}

const removedError = (
  store: Store,
  run: string,
  word: RunWord,
  code: 'RUN_STOPPED' | 'RUN_UNKNOWN',
): ReembedError => new ReembedError(code, `run ${run} in ${store.url} ${whyRemoved(word)}`)

/** Says `word` after `last`; undefined where somebody else has said something since. */
export async function sayNext(
  store: Store,
  run: string,
  last: NumberedWord,
  word: RunWord,
): Promise<NumberedWord | undefined> {
  const said: NumberedWord = { ...word, number: last.number + 1 }
  const outcome = await putJson(store, controlKey(run, said.number), { format: 1, ...said })
  return outcome === 'created' ? said : undefined
}

const STATES: readonly RunState[] = ['running', 'paused', 'cancelled', 'removed']
const amount = is(value => typeof value === 'number' && value >= 0)

const wordShape = record<NumberedWord>({
  number: positive,
  state: oneOf(STATES),
  maxTokens: perhaps(amount),
  maxEndpointSeconds: perhaps(amount),
  spent: perhaps(text),
  before: perhaps(oneOf(STATES)),
  erasing: perhaps(flag),
})
