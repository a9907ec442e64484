// Servers with OpenAI's route alone state neither its form nor its limits. Both are found by test
// requests, before the first document, with texts that every embedding model accepts: so a refusal
// is about the form or the size of a request.

import { isRefusal } from './failure-kinds.ts'
import { type StatedInfo, VLLM } from './info.ts'
import { type Failure, toError } from './outcome.ts'
import { type Negotiated, PROBE_TEXTS, type Probed, tryRoute } from './route-probe.ts'
import type { Encoding, Server } from './server.ts'

/**
 * base64 is the cheapest to decode of what OpenAI's clients know. Gemini refuses the field; vLLM
 * behind LiteLLM refuses a request without it.
 */
const ENCODINGS: readonly Encoding[] = ['base64', undefined, 'float']

/**
 * One text, because the limit of inputs is not known yet; long enough not to have a token for each
 * character.
 */
const FORM_TEXT = 'The form of a request is found with this text.'

/** Finds path, encoding, dimensions and the most inputs of a request. @throws ReembedError */
export async function negotiateOpenai(
  server: Server,
  stated: StatedInfo,
  signal: AbortSignal | undefined,
): Promise<Negotiated> {
  const { form, probed } = await findForm(server, stated, signal)
  const { route, servedModel, dimensions, normalized } = probed
  const countsTokens = probed.tokens !== FORM_TEXT.length
  const maxClientBatchSize = await findMaxInputs(form, stated.maxClientBatchSize, signal)
  return {
    server: form,
    route,
    servedModel,
    countsTokens,
    info: { ...stated, dimensions, normalized, maxClientBatchSize },
  }
}

async function findForm(
  server: Server,
  stated: StatedInfo,
  signal: AbortSignal | undefined,
): Promise<{ form: Server; probed: Probed }> {
  const encodings: readonly Encoding[] = stated.version === VLLM ? ['bytes', ...ENCODINGS] : ENCODINGS
  let missing: Failure | undefined
  for (const embeddingsPath of pathsOf(server)) {
    let refusal: Failure | undefined
    for (const encoding of encodings) {
      const form = { ...server, embeddingsPath, encoding }
      const found = await tryRoute(form, '/v1/embeddings', [FORM_TEXT], signal)
      if (encoding === 'bytes') {
        // Versions before 0.12 refuse it. A proxy may refuse the headers of a full reply: they have
        // 100 bytes for each vector: nginx accepts 4 or 8 KiB by default (proxy_buffer_size).
        const full = Array.from({ length: stated.maxClientBatchSize }, () => FORM_TEXT)
        const usable =
          found.kind === 'probed' && (await tryRoute(form, '/v1/embeddings', full, signal)).kind === 'probed'
        if (!usable) continue
      }
      if (found.kind === 'probed') return { form, probed: found }
      refusal = found
      if (!isRefusal(found)) break
    }
    if (refusal !== undefined && refusal.kind !== 'route_missing') throw toError(refusal, server.url)
    missing ??= refusal
  }
  throw toError(missing ?? { kind: 'route_missing', message: 'no embeddings route' }, server.url)
}

/** A pasted URL of the route is used as it stands. Some servers have no version in their paths. */
const pathsOf = ({ basePath, embeddingsPath }: Server): readonly string[] =>
  embeddingsPath === `${basePath}/v1/embeddings`
    ? [embeddingsPath, `${basePath}/embeddings`]
    : [embeddingsPath]

/** The most inputs of a request that the server accepts, at most `most`; found by halving. */
async function findMaxInputs(server: Server, most: number, signal: AbortSignal | undefined): Promise<number> {
  let accepted = 1
  let refused = most + 1
  for (let inputs = most; inputs > accepted; ) {
    const texts = Array.from({ length: inputs }, (_, i) => PROBE_TEXTS[i % PROBE_TEXTS.length] ?? '')
    const found = await tryRoute(server, '/v1/embeddings', texts, signal)
    if (found.kind === 'probed') accepted = inputs
    else if (isRefusal(found)) refused = Math.min(refused, inputs)
    // Overloaded or unavailable: nothing is learned of the limit, and a later request will wait.
    else return refused - 1
    const stated = found.kind === 'batch_limit' && found.limit > accepted && found.limit < refused
    inputs = stated ? found.limit : Math.floor((accepted + refused) / 2)
  }
  return accepted
}
