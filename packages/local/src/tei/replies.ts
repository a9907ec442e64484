// The bodies of successful replies.

import type { EngineModel } from './engine.ts'
import type { Settings } from './flags.ts'
import type { EmbedResult } from './infer.ts'

/** `number[][]`, also for a single text. NaN and infinities become null, as in serde_json. */
export const embeddingsJson = ({ vectors }: EmbedResult): string =>
  `[${vectors.map(vector => JSON.stringify(Array.from(vector))).join(',')}]`

/** The format of OpenAI. base64 encodes little-endian float32. */
export function openAiJson(
  { vectors, tokens }: EmbedResult,
  format: 'float' | 'base64',
  model: string,
): string {
  const rows = vectors.map((vector, index) => {
    const embedding = format === 'base64' ? `"${toBase64(vector)}"` : JSON.stringify(Array.from(vector))
    return `{"object":"embedding","embedding":${embedding},"index":${index}}`
  })
  const usage = JSON.stringify({ prompt_tokens: tokens, total_tokens: tokens })
  return `{"object":"list","data":[${rows.join(',')}],"model":${JSON.stringify(model)},"usage":${usage}}`
}

export function infoJson(model: EngineModel, settings: Settings): string {
  return JSON.stringify({
    model_id: model.id,
    model_sha: model.sha,
    model_dtype: model.dtype,
    ...(settings.version === '1.8.3' ? {} : { served_model_name: settings.servedModelName }),
    model_type: { embedding: { pooling: model.pooling } },
    max_concurrent_requests: settings.maxConcurrentRequests,
    max_input_length: settings.maxInputLength,
    max_batch_tokens: settings.maxBatchTokens,
    max_batch_requests: settings.maxBatchRequests,
    max_client_batch_size: settings.maxClientBatchSize,
    auto_truncate: settings.autoTruncate,
    tokenization_workers: 1,
    version: settings.version,
    sha: null,
    docker_label: null,
  })
}

/** Every platform that Node supports here is little-endian. */
const toBase64 = (vector: Float32Array): string =>
  Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64')
