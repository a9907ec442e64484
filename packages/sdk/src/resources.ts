// What a client holds open: one store and one Redis connection, opened by the first call that needs
// them.

import { type ResolvedEndpoint, resolveEndpoint } from '@reembed/endpoint'
import type { PlanNotice } from '@reembed/planner'
import { openQueue, type Queue, type RedisTarget } from '@reembed/queue'
import { absoluteUrl, ReembedError } from '@reembed/shared'
import { openStore, type Store } from '@reembed/store'
import type { ReembedOptions } from './options.ts'

export interface Resources extends AsyncDisposable {
  /** The output; a local folder as an absolute path, so that every process uses the same one. */
  readonly output: string
  /** The output, which must exist. */
  store(signal?: AbortSignal): Promise<Store>
  /** The output, created if it is a folder that does not exist. */
  writableStore(signal?: AbortSignal): Promise<Store>
  /** An output that a worker of this client serves. */
  openOutput(output: string): Promise<Store>
  /** @throws ReembedError USAGE without `redis` */
  queue(signal?: AbortSignal): Promise<Queue>
  /** @throws ReembedError USAGE without `redis` */
  redis(): RedisTarget
  /** @throws ReembedError USAGE without `endpoint` */
  endpoint(onNotice?: (notice: PlanNotice) => void, signal?: AbortSignal): Promise<ResolvedEndpoint>
}

export function openResources(options: ReembedOptions): Resources {
  const { s3, unsafeStore } = options
  const output = absoluteUrl(options.output)
  const stack = new AsyncDisposableStack()
  const open = async (url: string, create: boolean): Promise<Store> =>
    openStore(url, { create, s3, unsafe: unsafeStore })
  const store = once(async () => stack.use(await open(output, false)))
  const writableStore = once(async () => stack.use(await open(output, true)))
  const redis = (): RedisTarget => requireOption('redis', options.redis)
  const queue = once(async () => stack.use(await openQueue(redis())))
  return {
    output,
    store: signal => unlessAborted(signal, store),
    writableStore: signal => unlessAborted(signal, writableStore),
    openOutput: url => open(url, true),
    redis,
    queue: signal => unlessAborted(signal, queue),
    endpoint: async (onNotice, signal) =>
      resolveEndpoint(requireOption('endpoint', options.endpoint), {
        options: options.endpointOptions,
        hf: options.hf,
        onState: ({ state }) => onNotice?.({ kind: 'endpoint_state', state }),
        signal,
      }),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

function requireOption<T>(option: 'redis' | 'endpoint', value: T | undefined): T {
  if (value !== undefined && value !== '') return value
  throw new ReembedError('USAGE', `this call needs \`${option}\`: pass it to createReembed`, { option })
}

/** Opens on first use. A failure is not kept: the next call tries again. */
export function once<T>(open: () => Promise<T>): () => Promise<T> {
  let opened: Promise<T> | undefined
  return () => {
    opened ??= open().catch((error: unknown) => {
      opened = undefined
      throw error
    })
    return opened
  }
}

/** What is opened is shared by all calls: an abort ends the wait for it, not the opening. */
export async function unlessAborted<T>(signal: AbortSignal | undefined, open: () => Promise<T>): Promise<T> {
  if (!signal) return open()
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([open(), aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
