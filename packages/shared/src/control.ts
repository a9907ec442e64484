// What people have said about a run: pause, go on, cancel. Each word is one more write-once key, the newest is listed
// first and counts. Workers look before each job, sweeps before each run; so it reaches everybody without Redis.

import { ReembedError } from './errors.ts'
import { getJson, putJson } from './json.ts'
import { controlKey, controlPrefix } from './names.ts'
import type { Store } from './store/store.ts'

export type RunState = 'running' | 'paused' | 'cancelled'

interface Word {
  readonly number: number
  readonly state: RunState
}

/** Whether the run may be worked on. One LIST. */
export async function readRunState(store: Store, run: string): Promise<RunState> {
  return (await newest(store, run))?.state ?? 'running'
}

/** Says it, unless it was the last thing said. Returns what held before. */
export async function setRunState(store: Store, run: string, state: RunState): Promise<RunState> {
  while (true) {
    const last = await newest(store, run)
    const before = last?.state ?? 'running'
    if (before === state) return before
    const number = (last?.number ?? 0) + 1
    const outcome = await putJson(store, controlKey(run, number), { format: 1, number, state })
    if (outcome === 'created') return before
  }
}

async function newest(store: Store, run: string): Promise<Word | undefined> {
  for await (const { key } of store.list(controlPrefix(run))) {
    const word = (await getJson(store, key)) as Word | undefined
    if (word && controlKey(run, word.number) === key && STATES.includes(word.state)) return word
    throw new ReembedError('CORRUPT', `${key} in ${store.url} is nothing that reembed wrote`)
  }
  return undefined
}

const STATES: readonly RunState[] = ['running', 'paused', 'cancelled']
