// Handling of each state of a Hugging Face endpoint.
//
//   running                 use
//   scaledToZero            send one request, which wakes it, then wait
//   pending, initializing   wait
//   updating                wait: both old and new weights may answer during an update
//   paused                  fail: requests do not wake it, and only its operator may resume it
//   failed, updateFailed    fail with its message

import { type Clock, ReembedError, systemClock } from '@reembed/shared'
import type { Hf, HfEndpoint, HfName } from './api.ts'

export interface WaitOptions {
  readonly timeoutMs?: number | undefined
  /** Called at each change of state. */
  readonly onState?: ((endpoint: HfEndpoint, waitedMs: number) => void) | undefined
  readonly clock?: Clock | undefined
  readonly signal?: AbortSignal | undefined
}

/** The interval of huggingface_hub's `wait`. */
const POLL_MS = 5_000
/** The image and the weights of a large model take minutes to load. */
const TIMEOUT_MS = 30 * 60_000
/** Interval at which a run checks its endpoint. */
const WATCH_MS = 15_000

/**
 * Waits until the endpoint runs and its health route answers; wakes it if it is scaled to zero.
 * @throws ReembedError ENDPOINT_UNSUPPORTED when it is paused or failed, ENDPOINT_UNREACHABLE after
 * `timeoutMs`
 */
export async function waitUntilRunning(
  hf: Hf,
  of: HfName,
  { timeoutMs = TIMEOUT_MS, onState, clock = systemClock, signal }: WaitOptions = {},
): Promise<HfEndpoint & { readonly url: string }> {
  const startedMs = clock.now()
  const where = `hf:${of.namespace}/${of.name}`
  let state: string | undefined
  while (true) {
    const endpoint = await hf.read(of)
    const waitedMs = clock.now() - startedMs
    if (endpoint.state !== state) onState?.(endpoint, waitedMs)
    const fresh = endpoint.state !== state
    state = endpoint.state
    if (state === 'paused') {
      throw new ReembedError(
        'ENDPOINT_UNSUPPORTED',
        `${where} is paused, and requests do not wake it: resume it on Hugging Face`,
        { reason: 'endpoint_paused' },
      )
    }
    if (state === 'failed' || state === 'updateFailed') {
      throw new ReembedError(
        'ENDPOINT_UNSUPPORTED',
        `${where} is ${state}: ${endpoint.message || 'read its logs on Hugging Face'}`,
      )
    }
    if (state === 'running' && endpoint.url !== null && (await hf.ping(endpoint))) {
      return { ...endpoint, url: endpoint.url }
    }
    if (state === 'scaledToZero' && fresh) await hf.ping(endpoint)
    if (waitedMs >= timeoutMs) {
      throw new ReembedError(
        'ENDPOINT_UNREACHABLE',
        `${where} is still ${state} after ${Math.round(waitedMs / 1000)} s${endpoint.message ? ` (${endpoint.message})` : ''}: read its logs on Hugging Face, or wait longer`,
        { retry: 'requeue' },
      )
    }
    await clock.sleep(POLL_MS, signal)
  }
}

/**
 * Polls an endpoint during a run until the signal fires. Resolves with the reason why the run must
 * stop: the endpoint is updating, paused or failed, or has another revision or model. A failed poll
 * is ignored.
 */
export async function waitForChange(
  hf: Hf,
  of: HfName,
  { repository, revision }: Pick<HfEndpoint, 'repository' | 'revision'>,
  { clock = systemClock, signal }: Pick<WaitOptions, 'clock' | 'signal'> = {},
): Promise<ReembedError | undefined> {
  const where = `hf:${of.namespace}/${of.name}`
  while (!signal?.aborted) {
    await clock.sleep(WATCH_MS, signal).catch(() => {})
    if (signal?.aborted) return undefined
    const now = await hf.read(of).catch(() => undefined)
    if (now === undefined) continue
    if (now.repository !== repository || now.revision !== revision) {
      return new ReembedError(
        'MODEL_MISMATCH',
        `${where} now serves ${now.repository}@${now.revision ?? 'unstated'}, but the run requires ${repository}@${revision ?? 'unstated'}: deploy that revision, or plan a new run`,
      )
    }
    if (now.state === 'updating') {
      return new ReembedError(
        'ENDPOINT_UNSUPPORTED',
        `${where} is being updated, so two models may answer: resume the run when the update has ended`,
        { retry: 'requeue' },
      )
    }
    if (now.state === 'paused' || now.state === 'failed' || now.state === 'updateFailed') {
      return new ReembedError(
        'ENDPOINT_UNSUPPORTED',
        `${where} is ${now.state}: resume the endpoint, then the run`,
        { retry: 'requeue' },
      )
    }
  }
  return undefined
}
