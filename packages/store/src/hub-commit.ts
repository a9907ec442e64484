import { ReembedError } from '@reembed/shared'
import { createHubClient, escapeHubPath } from './hub-client.ts'

export interface ResolveCommitOptions {
  /** Default: HF_TOKEN. */
  readonly token?: string | undefined
  /** Base URL of the Hub. Default: HF_ENDPOINT, else https://huggingface.co. */
  readonly url?: string | undefined
  readonly signal?: AbortSignal | undefined
}

const COMMIT = /^[0-9a-f]{40}$/

/**
 * Resolves a model's branch or tag to its commit, as huggingface_hub's `model_info` does
 * (`GET /api/models/<id>/revision/<branch>`). A commit is returned as it is, without a request.
 * @throws ReembedError USAGE for a model or revision that does not exist, ENDPOINT_ACCESS_DENIED
 *   (also for a model that does not exist: the Hub answers 401 for both), ENDPOINT_UNREACHABLE
 */
export async function resolveCommit(
  model: string,
  revision = 'main',
  { token, url, signal }: ResolveCommitOptions = {},
): Promise<string> {
  if (COMMIT.test(revision)) return revision
  const hub = createHubClient({
    endpoint: url,
    token,
    codes: { unreachable: 'ENDPOINT_UNREACHABLE', accessDenied: 'ENDPOINT_ACCESS_DENIED' },
  })
  const path = `/api/models/${escapeHubPath(model)}/revision/${encodeURIComponent(revision)}`
  const reply = await hub.json(path, { subject: `model ${model} at revision ${revision}`, signal })
  if (reply === undefined) {
    throw new ReembedError(
      'USAGE',
      `The Hub at ${hub.endpoint} has no model '${model}' with revision '${revision}': check both names`,
    )
  }
  const { sha } = Object(reply.value)
  if (typeof sha === 'string' && COMMIT.test(sha)) return sha
  throw new ReembedError(
    'ENDPOINT_UNREACHABLE',
    `The Hub at ${hub.endpoint} states no commit for revision '${revision}' of model '${model}': give the commit itself`,
    { retry: 'requeue' },
  )
}
