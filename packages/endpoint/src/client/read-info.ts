// Reads what a server states about itself: TEI by `GET /info`, others by OpenAI's list of models.

import { ReembedError } from '@reembed/shared'
import {
  notAnEndpoint,
  openaiInfo,
  parseInfo,
  parseModels,
  type ServedModel,
  type StatedInfo,
} from './info.ts'
import { type Failure, toError } from './outcome.ts'
import { attempt, failureOf, type Server } from './server.ts'
import type { ExchangeOptions } from './transport.ts'

/** A server that answers its list of models later than this is used without it. */
const MODELS_TIMEOUT_MS = 10_000

const OTHER_SERVER = new Set<Failure['kind']>(['route_missing', 'bad_input', 'unsupported'])

export interface ReadInfo {
  readonly stated: StatedInfo
  /** A failure of `GET /info` that another kind of server or a TEI in trouble can be behind. */
  readonly doubt?: Failure
}

/**
 * Reads `GET /info`; assumes defaults where the server has only OpenAI's routes.
 * @throws ReembedError ENDPOINT_UNSUPPORTED where it is not TEI and no name of a model is given
 */
export async function readInfo(server: Server, signal: AbortSignal | undefined): Promise<ReadInfo> {
  const { transport, basePath, url, model, timeoutMs } = server
  const get = { method: 'GET', path: `${basePath}/info`, timeoutMs, signal } as const
  const answer = await attempt(() =>
    transport.exchange(get, reply =>
      reply.status === 200 ? parseInfo(reply.body.toString()) : failureOf(reply),
    ),
  )
  if (typeof answer !== 'string' && 'modelId' in answer) return { stated: answer }
  // A missing route or a request that is not understood shows another kind of server; other
  // failures can be states of a TEI.
  const isOther =
    typeof answer === 'string' ||
    answer.status === 404 ||
    (answer.status !== undefined && OTHER_SERVER.has(answer.kind))
  if (!isOther && (model === undefined || answer.status === undefined)) throw toError(answer, url)
  const models = await readModels(server, signal)
  if (model === undefined) throw notAnEndpoint(url, answer, models)
  const stated = openaiInfo(model, models)
  return isOther || typeof answer === 'string' ? { stated } : { stated, doubt: answer }
}

/** The models in OpenAI's list; none where the server has no such list. */
async function readModels(
  { transport, embeddingsPath, timeoutMs }: Server,
  signal: AbortSignal | undefined,
): Promise<readonly ServedModel[]> {
  const get: ExchangeOptions = {
    method: 'GET',
    path: embeddingsPath.replace(/\/embeddings(?=\?|$)/, '/models'),
    timeoutMs: Math.min(timeoutMs, MODELS_TIMEOUT_MS),
    signal,
  }
  const read = await attempt(() =>
    transport.exchange(get, reply => (reply.status === 200 ? parseModels(reply.body.toString()) : [])),
  )
  return 'kind' in read ? [] : read
}

/**
 * The revision that the endpoint states or that is given. @throws ReembedError MODEL_MISMATCH where
 * both differ
 */
export function revisionOf(
  { modelId, revision }: StatedInfo,
  given: string | undefined,
  url: string,
): string | null {
  if (given !== undefined && revision !== null && given !== revision) {
    throw new ReembedError(
      'MODEL_MISMATCH',
      `expected revision ${given} of the model, but the endpoint ${url} serves ${modelId}@${revision}: correct the revision, or deploy that one`,
    )
  }
  return revision ?? given ?? null
}
