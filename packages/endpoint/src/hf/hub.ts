// Which commit of a model a branch of the Hub stands at (GET /api/models/<id>/revision/<branch>, as huggingface_hub's
// model_info). A run whose model has a commit for its revision can be told from the run after the next fine-tune.

import { codeOf, messageOf, ReembedError } from '@reembed/shared'
import { parseAddress } from '../client/url.ts'

export const HUB = 'https://huggingface.co'

export interface HubOptions {
  readonly token?: string | undefined
  /** Default HUB. */
  readonly url?: string | undefined
  readonly signal?: AbortSignal | undefined
}

const TIMEOUT_MS = 30_000
const COMMIT = /^[0-9a-f]{40}$/

/**
 * The commit of a model's branch or tag; a commit is returned as it is.
 * @throws ReembedError USAGE for a model or a branch that is not there, ENDPOINT_ACCESS_DENIED, ENDPOINT_UNREACHABLE
 */
export async function resolveCommit(
  model: string,
  revision = 'main',
  { token, url = HUB, signal }: HubOptions = {},
): Promise<string> {
  if (COMMIT.test(revision)) return revision
  parseAddress(url, token, false)
  const path = model.split('/').map(encodeURIComponent).join('/')
  const limit = AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), ...(signal ? [signal] : [])])
  const reply = await fetch(`${url}/api/models/${path}/revision/${encodeURIComponent(revision)}`, {
    headers: { 'user-agent': 'reembed', ...(token && { authorization: `Bearer ${token}` }) },
    signal: limit,
  }).catch((error: unknown) => {
    signal?.throwIfAborted()
    const cause = error instanceof Error ? (error.cause ?? error) : error
    throw new ReembedError(
      'ENDPOINT_UNREACHABLE',
      `the Hub at ${url} does not answer (${codeOf(cause) ?? messageOf(cause)})`,
      { retry: 'requeue' },
    )
  })
  if (reply.ok) {
    const { sha } = Object(await reply.json().catch(() => ({})))
    if (typeof sha === 'string' && COMMIT.test(sha)) return sha
  }
  await reply.body?.cancel().catch(() => {})
  // The Hub says 401 of a private model to who may not see it, and of one that is not there.
  if (reply.status === 404 || reply.status === 401) {
    const hint = token ? 'or HF_TOKEN may not see it' : 'or it is private and wants HF_TOKEN'
    throw new ReembedError(
      'USAGE',
      `there is no model '${model}' with the revision '${revision}' on ${url}, ${hint}`,
    )
  }
  if (reply.status === 403) {
    throw new ReembedError(
      'ENDPOINT_ACCESS_DENIED',
      `the Hub does not let us see '${model}': HF_TOKEN has no access to it`,
    )
  }
  throw new ReembedError(
    'ENDPOINT_UNREACHABLE',
    `the Hub at ${url} does not tell which commit '${revision}' of '${model}' is (HTTP ${reply.status})`,
    { retry: 'requeue' },
  )
}
