// What to do in each state of a Hugging Face endpoint.
//
//   running                 go
//   scaledToZero            knock once (a request wakes it), then wait
//   pending, initializing   wait
//   updating                wait: while it lasts, old and new weights may both answer
//   paused                  requests do not wake it; somebody decided that, so it is said and not undone
//   failed, updateFailed    its own message says why

import { ReembedError } from '@reembed/shared'
import { type Clock, systemClock } from '../clock.ts'
import type { Hf, HfEndpoint, HfName } from './api.ts'

export interface WaitOptions {
  readonly timeoutMs?: number | undefined
  /** Told with each change of state. */
  readonly onState?: ((endpoint: HfEndpoint, waitedMs: number) => void) | undefined
  readonly clock?: Clock | undefined
  readonly signal?: AbortSignal | undefined
}

/** As huggingface_hub's own wait. */
const POLL_MS = 5_000
/** Image and weights of a large model take minutes to come. */
const TIMEOUT_MS = 30 * 60_000
/** A run looks this often whether its endpoint is still what it was. */
const WATCH_MS = 15_000

/** Resolves when the endpoint runs and its health route answers; wakes it if it sleeps. @throws ReembedError */
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
        `${where} is paused, and requests do not wake it: resume it`,
        { reason: 'endpoint_paused' },
      )
    }
    if (state === 'failed' || state === 'updateFailed') {
      throw new ReembedError(
        'ENDPOINT_UNSUPPORTED',
        `${where} is ${state}: ${endpoint.message || 'look at its logs on Hugging Face'}`,
      )
    }
    if (state === 'running' && endpoint.url !== null && (await hf.ping(endpoint))) {
      return { ...endpoint, url: endpoint.url }
    }
    if (state === 'scaledToZero' && fresh) await hf.ping(endpoint)
    if (waitedMs >= timeoutMs) {
      throw new ReembedError(
        'ENDPOINT_UNREACHABLE',
        `${where} is still ${state} after ${Math.round(waitedMs / 1000)} s${endpoint.message ? `: ${endpoint.message}` : ''}`,
        { retry: 'requeue' },
      )
    }
    await clock.sleep(POLL_MS, signal)
  }
}

/**
 * Follows an endpoint during a run until the signal fires. Resolves with the reason why the run must stop: the
 * endpoint is updating, has another revision or another model, or was paused. Silence of the API is no reason.
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
        `${where} now serves ${now.repository}@${now.revision ?? 'unstated'}, the run is for ${repository}@${revision ?? 'unstated'}: what is finished is kept, the same command makes a new run`,
      )
    }
    if (now.state === 'updating') {
      return new ReembedError(
        'ENDPOINT_UNSUPPORTED',
        `${where} is being updated, two models may answer meanwhile: the same command goes on when it runs again`,
        { retry: 'requeue' },
      )
    }
    if (now.state === 'paused' || now.state === 'failed' || now.state === 'updateFailed') {
      return new ReembedError(
        'ENDPOINT_UNSUPPORTED',
        `${where} is ${now.state}: the same command goes on when it runs again`,
        { retry: 'requeue' },
      )
    }
  }
  return undefined
}
