// What people have said about a run: pause, go on, cancel, and what it may use. Each word is one more write-once key,
// the newest is listed first and counts. Workers look before each job, sweeps before each run; so it reaches everybody
// without Redis.

import { ReembedError } from './errors.ts'
import { getJson, putJson } from './json.ts'
import { controlKey, controlPrefix } from './names.ts'
import { is, oneOf, perhaps, positive, record, requireShape, text } from './shape.ts'
import type { Store } from './store/store.ts'

/** A run that `reembed gc` removes is `removed` from before its first object goes until the last one is gone. */
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
}

interface Word extends RunWord {
  readonly number: number
}

/** Whether the run may be worked on. One LIST. */
export async function readRunState(store: Store, run: string): Promise<RunState> {
  return (await readRunWord(store, run)).state
}

/** The last word about a run; one of which nobody has said anything is running, without limits. */
export async function readRunWord(store: Store, run: string): Promise<RunWord> {
  return (await newest(store, run)) ?? { state: 'running' }
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
    /** Only for who removes it: it is needed after all. */
    readonly spared?: boolean
  } = {},
): Promise<RunState> {
  while (true) {
    const last = await newest(store, run)
    const before = last?.state ?? 'running'
    const { maxTokens, maxEndpointSeconds } = said.limits ?? last ?? {}
    const isSaid =
      before === state && last?.maxTokens === maxTokens && last?.maxEndpointSeconds === maxEndpointSeconds
    if (isSaid) return before
    if (before === 'removed' && !said.spared) {
      throw new ReembedError(
        'RUN_STOPPED',
        `run ${run} in ${store.url} is being removed: \`reembed gc --delete\` ends that, then it can be made anew`,
      )
    }
    const number = (last?.number ?? 0) + 1
    const word = { format: 1, number, state, maxTokens, maxEndpointSeconds, spent: said.spent }
    if ((await putJson(store, controlKey(run, number), word)) === 'created') return before
  }
}

async function newest(store: Store, run: string): Promise<Word | undefined> {
  for await (const { key } of store.list(controlPrefix(run))) {
    const what = `${key} in ${store.url} is nothing that reembed wrote`
    const word = requireShape<Word>(wordShape, await getJson(store, key), what)
    if (controlKey(run, word.number) === key) return word
    throw new ReembedError('CORRUPT', `${what}: it says that it is word ${word.number}`)
  }
  return undefined
}

const STATES: readonly RunState[] = ['running', 'paused', 'cancelled', 'removed']
const amount = is(value => typeof value === 'number' && value >= 0)

const wordShape = record<Word>({
  number: positive,
  state: oneOf(STATES),
  maxTokens: perhaps(amount),
  maxEndpointSeconds: perhaps(amount),
  spent: perhaps(text),
})
