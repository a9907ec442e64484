// Flushes a collection of Milvus, builds its index, and loads it into memory. Milvus does most of
// that after it has replied, Milvus Lite before: a reply may take hours. So these calls have no
// deadline of their own, and the state of the collection is read meanwhile: a server that does not
// answer that either has failed.

import { setTimeout as sleep } from 'node:timers/promises'
import { deadlines, messageOf, ReembedError, type RetryOptions } from '@reembed/shared'
import type { MilvusClient, MilvusConnection } from './milvus-connection.ts'

/** Between two reads of the state of a collection that is not in memory yet. */
const POLL_MS = 500
const LOADING = 'LoadStateLoading'
/** gRPC has no call without a deadline. */
const CALL_MS = 24 * 3_600_000

type Connection = Pick<MilvusConnection, 'call' | 'ask'>

export interface MilvusIndex {
  readonly collection_name: string
  readonly field_name: string
  readonly metric_type: string
}

/** Creates the index of a field unless there is one, and loads the collection into memory. */
export const buildIndex = (
  connection: Connection,
  index: MilvusIndex,
  options: RetryOptions = {},
): Promise<void> =>
  whileAnswering(connection, index.collection_name, options, async build => {
    const { collection_name } = index
    const hasIndex = async (): Promise<boolean> => {
      // A collection without an index is a status other than Success, which `call` would throw.
      const { index_descriptions: found = [] } = await build.call(async client => ({
        ...(await client.describeIndex({ collection_name, timeout: CALL_MS })),
        status: {},
      }))
      return found.length > 0
    }
    const request = { ...index, index_type: 'AUTOINDEX', timeout: CALL_MS }
    if (!(await hasIndex())) {
      await build
        .call(client => client.createIndex(request))
        .catch(async (error: unknown) => {
          // Another process has created it since, or the reply of an earlier attempt was lost.
          if (!(await hasIndex())) throw error
        })
    }
    await load(build, collection_name)
  })

/** Writes the rows that the server has in memory alone to its segments, which have an index. */
export const flushRows = async (
  connection: Connection,
  collection_name: string,
  options: RetryOptions = {},
): Promise<void> => {
  const request = { collection_names: [collection_name], timeout: CALL_MS }
  await whileAnswering(connection, collection_name, options, build =>
    build.call(client => client.flushSync(request)),
  )
}

/** Loads a collection into memory. Idempotent. */
export const loadIntoMemory = (
  connection: Connection,
  collection_name: string,
  options: RetryOptions = {},
): Promise<void> =>
  whileAnswering(connection, collection_name, options, build => load(build, collection_name))

async function load({ call, progress, pause }: Build, collection_name: string): Promise<void> {
  while (true) {
    await call(client => client.loadCollectionAsync({ collection_name, timeout: CALL_MS }))
    let state = await progress()
    while (state === LOADING) {
      await pause()
      state = await progress()
    }
    if (state === 'LoadStateLoaded') return
    // Fails with the reason for which the server gave the load up.
    await call(client => client.getLoadingProgress({ collection_name }))
    await pause()
  }
}

interface Build {
  /** Makes a call again while the connection is lost and the server answers. Idempotent calls. */
  call<T>(work: (client: MilvusClient) => Promise<T>): Promise<T>
  /** Reads the state of the collection, and reports how much of it is in memory. */
  progress(): Promise<string>
  pause(): Promise<void>
}

/** Calls `work`, which takes any time, while the server answers other calls. */
async function whileAnswering<T>(
  { call, ask }: Connection,
  collection_name: string,
  { signal, onWait }: RetryOptions,
  work: (build: Build) => Promise<T>,
): Promise<T> {
  const { probeMs } = deadlines().sink
  const ended = new AbortController()
  const options = { signal: AbortSignal.any([ended.signal, ...(signal ? [signal] : [])]), onWait }
  const pause = async (ms = POLL_MS): Promise<void> => {
    // The timer's abort error would replace the signal's reason.
    await sleep(ms, undefined, options).catch(() => options.signal.throwIfAborted())
  }
  async function progress(): Promise<string> {
    const { state } = await ask(client => client.getLoadState({ collection_name }), options)
    if (state !== LOADING) return state
    const { progress: loaded } = await ask(client => client.getLoadingProgress({ collection_name }), options)
    onWait?.(`the server loads ${collection_name} into memory: ${loaded} %`)
    return state
  }
  const build: Build = {
    async call(work) {
      while (true) {
        try {
          return await call(work)
        } catch (error) {
          options.signal.throwIfAborted()
          if (!(error instanceof ReembedError) || error.retry !== 'requeue') throw error
          onWait?.(messageOf(error))
          await progress()
          await pause()
        }
      }
    },
    progress,
    pause: () => pause(),
  }
  async function watch(): Promise<never> {
    while (true) {
      await pause(probeMs)
      if ((await progress()) !== LOADING) onWait?.(`the server is still working on ${collection_name}`)
    }
  }
  const working = work(build)
  working.catch(() => {})
  try {
    return await Promise.race([working, watch()])
  } finally {
    ended.abort()
  }
}
