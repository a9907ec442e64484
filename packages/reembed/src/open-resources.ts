// Opens the stores, the endpoint and the Redis of a command: given by URL, or started on this
// machine.

import {
  checkEndpointExists,
  createHf,
  type EndpointOptions,
  type Hf,
  type HfEndpoint,
  type HfOptions,
  type ResolvedEndpoint,
  resolveEndpoint,
} from '@reembed/endpoint'
import { type Corpus, openCorpus } from '@reembed/planner'
import {
  openQueue,
  type Queue,
  type RedisTarget,
  redisAddress,
  secureUrlOf,
  withDatabase,
} from '@reembed/queue'
import { duration } from '@reembed/render'
import { absoluteUrl, codeOf, deadlines, messageOf, ReembedError, tokenFor } from '@reembed/shared'
import { checkStore, openStore, type S3Options, type Store } from '@reembed/store'
import type { Logger } from '@reembed/telemetry'
import type { CorpusFlags, EndpointFlags, OutputFlags, RedisFlags, S3Flags } from './options.ts'
import { note } from './output.ts'
import { steps } from './step-line.ts'

export function s3OptionsOf({ s3Endpoint, s3Region, s3PathStyle, s3Checksums }: S3Flags): S3Options {
  return {
    ...(s3Endpoint && { endpoint: s3Endpoint, pathStyle: s3PathStyle !== false }),
    ...(s3Region && { region: s3Region }),
    ...(s3Checksums && { checksums: s3Checksums }),
  }
}

/** Opens outputs to read them. The stack closes them. */
export async function openOutputs(
  { output = [], ...flags }: S3Flags & { readonly output?: readonly string[] | undefined },
  stack: AsyncDisposableStack,
  create = false,
): Promise<Store[]> {
  const s3 = s3OptionsOf(flags)
  const stores = await Promise.all(output.map(url => openStore(absoluteUrl(url), { create, s3 })))
  for (const store of stores) stack.use(store)
  return stores
}

/**
 * Opens the output of a run, creates a missing folder, and checks that the store never overwrites.
 */
export async function openOutput(flags: OutputFlags): Promise<Store> {
  const { unsafeStore: unsafe } = flags
  const store = await openStore(absoluteUrl(flags.output), { create: true, unsafe, s3: s3OptionsOf(flags) })
  if (unsafe)
    note('warning: --unsafe-store: with more than one worker, a worker may overwrite the shards of another')
  else await checkStore(store)
  return store
}

/** Opens the corpus. The output, where known, must not be inside it. */
export function openSource(flags: CorpusFlags & Partial<OutputFlags>): Promise<Corpus> {
  const output = flags.output && absoluteUrl(flags.output)
  return openCorpus(flags.source, { format: flags.format, csv: flags.csv, output, s3: s3OptionsOf(flags) })
}

/** Opens an output that must already exist. */
export async function openExistingOutput(flags: OutputFlags): Promise<Store> {
  try {
    return await openStore(absoluteUrl(flags.output), { unsafe: flags.unsafeStore, s3: s3OptionsOf(flags) })
  } catch (error) {
    if (!(error instanceof ReembedError) || error.code !== 'SOURCE_NOT_FOUND') throw error
    const { code, message } = error
    throw new ReembedError(code, message, { option: 'output', reason: 'output_not_found', cause: error })
  }
}

export function endpointOptionsOf(flags: EndpointFlags): EndpointOptions {
  const { model, revision, allowInsecure, endpointLimits: limits } = flags
  const token = tokenOf(flags)
  return {
    ...(token && { token }),
    ...(model && { model }),
    ...(revision && { revision }),
    ...(allowInsecure && { allowInsecure }),
    ...(limits && { limits }),
  }
}

/** Opens the given endpoint, or starts one with a real model here; the stack stops it. */
export async function openOrStartEndpoint(
  flags: EndpointFlags,
  stack: AsyncDisposableStack,
  { quiet = false, onState }: { readonly quiet?: boolean; readonly onState?: (state: string) => void } = {},
): Promise<ResolvedEndpoint> {
  if (flags.endpoint) return requireEndpoint(flags, onState)
  const { startEndpoint } = await importLocal('an --endpoint')
  steps.show(`starting a local endpoint with the model ${flags.model ?? 'all-MiniLM-L6-v2'}`)
  const endpoint = stack.use(await startEndpoint(flags.model ? { model: flags.model } : {}))
  if (!quiet) note(`endpoint  ${endpoint.url}  (local, ${flags.model ?? 'all-MiniLM-L6-v2'})`)
  return { url: endpoint.url, options: {}, tokenizer: endpoint.tokenizer }
}

/** Returns the given Redis, or starts a private one; the stack stops it. */
export async function openOrStartRedis(
  flags: RedisFlags,
  stack: AsyncDisposableStack,
): Promise<{ target: RedisTarget; isPrivate: boolean }> {
  if (flags.redis) return { target: requireRedis(flags), isPrivate: false }
  const { startRedis } = await importLocal('a --redis')
  steps.show('starting a private Redis')
  const server = stack.use(await startRedis())
  note(`redis    ${redisAddress(server.url)}  (private)`)
  return { target: server.url, isPrivate: true }
}

/** @throws ReembedError USAGE when no Redis is given, an insecure one, or another database. */
export function requireRedis({ redis, queue, insecureRedis: insecure }: RedisFlags): RedisTarget {
  if (redis) {
    // An autoscaler that reads another database than the jobs are in never starts a worker.
    const database = process.env.REEMBED_REDIS_DATABASE
    const url = database ? withDatabase(redis, database) : redis
    secureUrlOf({ url, insecure })
    return { url, queue, insecure }
  }
  throw new ReembedError(
    'USAGE',
    'missing --redis (or REDIS_URL): workers and producers on several machines share jobs through Redis. Give its URL, or use `reembed run`, which starts a private Redis',
  )
}

/** Opens the queue for a process that runs for long: it waits for a Redis that starts. */
export const openQueueAtStart = (target: RedisTarget, log: Logger, signal: AbortSignal): Promise<Queue> =>
  openQueue(target, {
    signal,
    // A process of a cluster often starts before its Redis.
    timeoutMs: deadlines().redis.readyMs,
    onWait: error => log.warn({}, `waiting for Redis: ${messageOf(error)}`),
  })

/** Resolves the given endpoint; wakes `hf:namespace/name` and waits until it runs. */
export async function requireEndpoint(
  flags: EndpointFlags,
  onState?: (state: string) => void,
): Promise<ResolvedEndpoint> {
  const endpoint = endpointOf(flags)
  steps.show(`finding the endpoint ${endpoint}`)
  return resolveEndpoint(endpoint, {
    options: endpointOptionsOf(flags),
    hf: hfOptions(tokenOf(flags)),
    onState(endpoint, waitedMs) {
      noteEndpointState(endpoint, waitedMs)
      onState?.(endpoint.state)
    },
  })
}

/**
 * Checks that an endpoint was given, and that an `hf:` endpoint exists. Does not wake it.
 * @throws ReembedError
 */
export async function checkEndpoint(flags: EndpointFlags): Promise<void> {
  await checkEndpointExists(endpointOf(flags), hfOptions(tokenOf(flags)))
}

function endpointOf({ endpoint }: EndpointFlags): string {
  if (endpoint) return endpoint
  throw new ReembedError(
    'USAGE',
    'missing --endpoint (or REEMBED_ENDPOINT): give the URL of a TEI server, or use `reembed run`, which starts a local one',
  )
}

/** The management API of Hugging Face. The token of an endpoint can be that of another host. */
export const openHf = (): Hf => createHf(hfOptions(process.env.HF_TOKEN))

/** REEMBED_HF_API replaces the URL of Hugging Face's management API. */
const hfOptions = (token: string | undefined): HfOptions => ({ token, apiUrl: process.env.REEMBED_HF_API })

function tokenOf({ endpoint }: EndpointFlags): string | undefined {
  const { REEMBED_ENDPOINT_TOKEN: given, HF_TOKEN: huggingFace } = process.env
  return tokenFor(endpoint, { endpoint: given, huggingFace })
}

/**
 * Prints each state while the command waits. An endpoint that runs from the start needs no note; a
 * paused or failed one ends the command with an error.
 */
export function noteEndpointState({ name, state, message }: HfEndpoint, waitedMs: number): void {
  if (/paused|failed/i.test(state) || (state === 'running' && waitedMs < 1_000)) return
  steps.show(`waiting for ${name}, ${state}`)
  note(
    `endpoint  ${name} ${state}${state === 'running' ? ` after ${duration(waitedMs)}` : adds(message, state) ? `: ${message}` : ''}`,
  )
}

/** Whether a message states more than 'Endpoint is scaledToZero'. */
const adds = (message: string, state: string): boolean => message !== '' && !message.endsWith(` ${state}`)

/** @reembed/local is an optional package: a worker in production does not need it. */
async function importLocal(missing: string): Promise<typeof import('@reembed/local')> {
  try {
    return await import('@reembed/local')
  } catch (cause) {
    if (codeOf(cause) !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw new ReembedError(
      'USAGE',
      `the package @reembed/local is not installed: give ${missing}, or install it to start one on this machine`,
      { cause },
    )
  }
}
