// Decodes vLLM's reply to `encoding_format: bytes`: the body is the vectors, one after the other,
// and the header `metadata` is the JSON that other replies have as their body, with the place of
// each vector (vllm/entrypoints/pooling/embed/serving.py).
//
//   metadata: {"model":"m","data":[{"index":0,"embed_dtype":"float32","endianness":"little",
//              "start":0,"end":3072,"shape":[768]},...],"usage":{"prompt_tokens":12}}

import {
  bytesOf,
  factsOf,
  InvalidReplyError,
  isRecord,
  parseJson,
  type ReplyMetadata,
  rowAt,
  type VectorDestination,
} from './decode.ts'
import type { Reply } from './transport.ts'

/** The type of the values in a reply of bytes. */
export type ReplyDtype = 'float32' | 'float16'

const BYTES: Readonly<Record<ReplyDtype, number>> = { float32: 4, float16: 2 }

export const isBytesReply = ({ headers }: Pick<Reply, 'headers'>): boolean =>
  String(headers['content-type']).startsWith('application/octet-stream')

/**
 * Writes the vectors of a reply to their rows. float16 becomes float32 exactly.
 * @throws InvalidReplyError unless the body is one vector of `dtype` for each row
 */
export function decodeBytes(
  { headers, body }: Reply,
  { vectors, dimensions, rows }: VectorDestination,
  dtype: ReplyDtype,
): ReplyMetadata {
  const { reply, data } = metadataOf(headers)
  const size = dimensions * BYTES[dtype]
  if (data.length !== rows.length || body.length !== size * rows.length) {
    throw new InvalidReplyError(
      `the reply has ${data.length} vectors in ${body.length} bytes, expected ${rows.length} in ${size * rows.length}`,
    )
  }
  const target = bytesOf(vectors)
  // As many places as vectors: without a repetition, they cover the body.
  const [indexes, starts] = [new Set<number>(), new Set<number>()]
  for (const [place, entry] of data.entries()) {
    const { index, start } = placeOf(entry, place, { dtype, size })
    if (rows[index] === undefined || indexes.has(index))
      throw new InvalidReplyError(`entry ${place} of the reply has an invalid or repeated index`)
    if (start < 0 || start >= body.length || starts.has(start))
      throw new InvalidReplyError(`entry ${place} of the reply has an invalid or repeated place`)
    indexes.add(index)
    starts.add(start)
    const row = rowAt(rows, index)
    const vector = body.subarray(start, start + size)
    if (dtype === 'float32') target.set(vector, row * size)
    else vectors.set(new Float16Array(new Uint8Array(vector).buffer), row * dimensions)
  }
  return factsOf(reply)
}

/** The dimensions of the first vector of a reply of bytes. @throws InvalidReplyError */
export function dimensionsOfBytes({ headers, body }: Reply, dtype: ReplyDtype): number {
  const { data } = metadataOf(headers)
  const dimensions = body.length / (data.length * BYTES[dtype])
  if (!Number.isInteger(dimensions) || dimensions < 1) throw new InvalidReplyError('the reply has no vector')
  return dimensions
}

function metadataOf(headers: Reply['headers']): { readonly reply: unknown; readonly data: unknown[] } {
  const { metadata } = headers
  const reply = typeof metadata === 'string' ? parseJson(metadata) : undefined
  if (!isRecord(reply) || !Array.isArray(reply.data))
    throw new InvalidReplyError('the reply has no header `metadata` with an array `data`')
  return { reply, data: reply.data }
}

function placeOf(
  entry: unknown,
  place: number,
  { dtype, size }: { readonly dtype: ReplyDtype; readonly size: number },
): { readonly index: number; readonly start: number } {
  const { index, embed_dtype, endianness, start, end } = isRecord(entry) ? entry : {}
  if (embed_dtype !== dtype || endianness !== 'little') {
    throw new InvalidReplyError(
      `entry ${place} of the reply is ${embed_dtype}, ${endianness} endian, expected ${dtype}, little endian`,
    )
  }
  if (typeof index !== 'number' || typeof start !== 'number' || start % size !== 0 || end !== start + size)
    throw new InvalidReplyError(`entry ${place} of the reply has no place of ${size} bytes`)
  return { index, start }
}
