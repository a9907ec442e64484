// What a command works with, opened from its flags: given by URL, or a stand-in on this machine.

import { resolve } from 'node:path'
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
import { type Corpus, openCorpus } from '@reembed/producer'
import { type RedisTarget, secureUrlOf } from '@reembed/queue'
import { codeOf, ReembedError } from '@reembed/shared'
import { checkStore, openStore, type S3Options, type Store } from '@reembed/store'
import { duration, note } from './format.ts'
import type { CorpusFlags, EndpointFlags, OutputFlags, RedisFlags, S3Flags } from './options.ts'

export function s3OptionsOf({ s3Endpoint, s3Region, s3PathStyle, s3Checksums }: S3Flags): S3Options {
  return {
    ...(s3Endpoint && { endpoint: s3Endpoint, pathStyle: s3PathStyle !== false }),
    ...(s3Region && { region: s3Region }),
    ...(s3Checksums && { checksums: s3Checksums }),
  }
}

/** A local folder is named absolutely, so that every process means the same one. */
export const absoluteUrl = (url: string): string => (/^[a-z0-9]+:\/\//i.test(url) ? url : resolve(url))

/**
 * Opens the output of a run, creates a missing folder, and checks at once that the store never
 * overwrites.
 */
export async function openOutput(flags: OutputFlags): Promise<Store> {
  const { unsafeStore: unsafe } = flags
  const store = await openStore(absoluteUrl(flags.output), { create: true, unsafe, s3: s3OptionsOf(flags) })
  if (unsafe) note('warning: --unsafe-store: with more than one worker, shards may overwrite each other')
  else await checkStore(store)
  return store
}

/** Opens the corpus; its output, where known, must not lie inside it. */
export function openSource(flags: CorpusFlags & Partial<OutputFlags>): Promise<Corpus> {
  const output = flags.output && absoluteUrl(flags.output)
  return openCorpus(flags.source, { format: flags.format, output, s3: s3OptionsOf(flags) })
}

/** Opens an output that must be there already. */
export async function openExistingOutput(flags: OutputFlags): Promise<Store> {
  return openStore(absoluteUrl(flags.output), { unsafe: flags.unsafeStore, s3: s3OptionsOf(flags) })
}

export function endpointOptionsOf({ model, revision, allowInsecure }: EndpointFlags): EndpointOptions {
  const token = process.env.REEMBED_ENDPOINT_TOKEN ?? process.env.HF_TOKEN
  return {
    ...(token && { token }),
    ...(model && { model }),
    ...(revision && { revision }),
    ...(allowInsecure && { allowInsecure }),
  }
}

/** The endpoint given, or one with a real model started on this machine; the stack ends it. */
export async function openOrStartEndpoint(
  flags: EndpointFlags,
  stack: AsyncDisposableStack,
  { quiet = false }: { readonly quiet?: boolean } = {},
): Promise<ResolvedEndpoint> {
  if (flags.endpoint) return requireEndpoint(flags)
  const { startEndpoint } = await importLocal('an --endpoint')
  const endpoint = stack.use(await startEndpoint(flags.model ? { model: flags.model } : {}))
  if (!quiet) note(`endpoint  ${endpoint.url}  (local, ${flags.model ?? 'all-MiniLM-L6-v2'})`)
  return { url: endpoint.url, options: {} }
}

/** The Redis given, or a private one; the stack ends it. */
export async function openOrStartRedis(
  { redis, insecureRedis }: RedisFlags,
  stack: AsyncDisposableStack,
): Promise<{ target: RedisTarget; isPrivate: boolean }> {
  if (redis) return { target: { url: redis, insecure: insecureRedis }, isPrivate: false }
  const { startRedis } = await importLocal('a --redis')
  const server = stack.use(await startRedis())
  note(`redis     ${server.url}  (private)`)
  return { target: server.url, isPrivate: true }
}

/** @throws ReembedError USAGE when none is given, or an insecure one. */
export function requireRedis({ redis, insecureRedis: insecure }: RedisFlags): RedisTarget {
  if (redis) {
    secureUrlOf({ url: redis, insecure })
    return { url: redis, insecure }
  }
  throw new ReembedError(
    'USAGE',
    'missing --redis (or REDIS_URL): workers and producers on several machines meet there; `reembed run` needs none',
  )
}

/** The endpoint given; `hf:namespace/name` is read, woken and waited for. */
export async function requireEndpoint(flags: EndpointFlags): Promise<ResolvedEndpoint> {
  return resolveEndpoint(endpointOf(flags), {
    options: endpointOptionsOf(flags),
    hf: hfOptions(),
    onState: noteEndpointState,
  })
}

/**
 * Checks that an endpoint was given, and that an `hf:` endpoint exists; wakes nothing. @throws
 * ReembedError
 */
export async function checkEndpoint(flags: EndpointFlags): Promise<void> {
  await checkEndpointExists(endpointOf(flags), hfOptions())
}

function endpointOf({ endpoint }: EndpointFlags): string {
  if (endpoint) return endpoint
  throw new ReembedError(
    'USAGE',
    'missing --endpoint (or REEMBED_ENDPOINT), the URL of a TEI server; `reembed run` starts a local one by itself',
  )
}

/** The management API of Hugging Face with the token of this process. */
export const openHf = (): Hf => createHf(hfOptions())

/** REEMBED_HF_API names another management API than Hugging Face's own. */
const hfOptions = (): HfOptions => ({
  token: process.env.REEMBED_ENDPOINT_TOKEN ?? process.env.HF_TOKEN,
  apiUrl: process.env.REEMBED_HF_API,
})

/**
 * Says each state on the way; that it runs from the start is no news, and what stops the command
 * says so itself.
 */
export function noteEndpointState({ name, state, message }: HfEndpoint, waitedMs: number): void {
  if (/paused|failed/i.test(state) || (state === 'running' && waitedMs < 1_000)) return
  note(
    `endpoint  ${name} ${state}${state === 'running' ? ` after ${duration(waitedMs)}` : message ? `: ${message}` : ''}`,
  )
}

/** The stand-ins are an optional package: a worker in production does without. */
async function importLocal(missing: string): Promise<typeof import('@reembed/local')> {
  try {
    return await import('@reembed/local')
  } catch (cause) {
    if (codeOf(cause) !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw new ReembedError('USAGE', `give ${missing}, or install @reembed/local to run one on this machine`, {
      cause,
    })
  }
}
