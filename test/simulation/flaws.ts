// Workers with a wrong setting: each call that depends on it fails as it does for a real one.

import { ReembedError } from '@reembed/shared'
import { ObjectNotFound, type Store } from '@reembed/store'
import type { Fleet } from './fleet.ts'

export const FLAWS = ['revision', 'key', 'right', 'corpus', 'output'] as const
export type Flaw = (typeof FLAWS)[number]

const MESSAGE = 'a wrong setting of this worker'

const error = (code: ConstructorParameters<typeof ReembedError>[0]): ReembedError =>
  new ReembedError(code, MESSAGE)

/**
 * Whether the wrong setting is the reason of a failed job. A worker with one also observes faults
 * of the run: with a wrong key it still reads the corpus, and puts a shard of reused vectors.
 * Without its output, a worker observes nothing else.
 */
export const isCauseOf = (flaw: Flaw, reason: string): boolean =>
  flaw === 'output' || reason.includes(MESSAGE)

export function flawedFleet({ open }: Pick<Fleet, 'open'>, flaw: Flaw | undefined): Pick<Fleet, 'open'> {
  return {
    async open(process) {
      if (flaw === 'key') throw error('ENDPOINT_ACCESS_DENIED')
      const endpoint = await open(process)
      if (flaw === 'revision') throw error('MODEL_MISMATCH')
      return endpoint
    },
  }
}

export function flawedOutput(store: Store, flaw: Flaw | undefined): Store {
  if (flaw !== 'right' && flaw !== 'output') return store
  return {
    ...store,
    async *stream(key, options) {
      if (flaw === 'output' && key.endsWith('/plan.json')) throw new ObjectNotFound(key)
      yield* store.stream(key, options)
    },
    async putIfAbsent(key, ...rest) {
      if (flaw === 'right') throw error('STORE_ACCESS_DENIED')
      return store.putIfAbsent(key, ...rest)
    },
  }
}

export function flawedSource(store: Store, flaw: Flaw | undefined): Store {
  if (flaw !== 'corpus') return store
  const fail = async (): Promise<never> => {
    throw error('SOURCE_CHANGED')
  }
  return {
    ...store,
    get: fail,
    async *stream() {
      yield await fail()
    },
  }
}
