// Replies of /v1/embeddings: the scanner of bytes against JSON.parse and a slow decoder of base64.

import { decodeEmbeddings } from '@reembed/endpoint'
import { choicesOf, Finding, must, type Target } from '../target.ts'

const base64 = (values: readonly number[]): string =>
  Buffer.from(Float32Array.from(values).buffer).toString('base64')
const entry = (index: number, embedding: unknown) => ({ object: 'embedding', embedding, index })
const reply = (data: readonly unknown[]): string =>
  JSON.stringify({ object: 'list', data, model: 'm@r', usage: { prompt_tokens: 7, total_tokens: 7 } })

export const target: Target = {
  what: 'replies of /v1/embeddings: base64 and numbers',
  maxBytes: 1_200,
  maxMiB: 128,
  dictionary: [
    '"embedding":"',
    '"index":0',
    '"index":1',
    '"data":[',
    '"object":"list"',
    '"model":"',
    '"usage":{"prompt_tokens":',
    '=',
    'AAAA',
    '/',
    '+',
    '-',
    '_',
    'null',
    'NaN',
    '},{',
    ']',
    '"}',
    '\\u0022',
    '1e400',
  ],
  seeds: () =>
    [2, 3].flatMap(dimensions => {
      const rows = [0, 1, 2].map(i => Array.from({ length: dimensions }, (_, d) => i + d / 7))
      const head = Buffer.from([dimensions - 1, 2])
      return [
        reply(rows.map((row, i) => entry(i, base64(row)))),
        reply(rows.map((row, i) => ({ index: i, embedding: base64(row) }))),
        reply(rows.map((row, i) => entry(i, row))),
        reply(rows.map((row, i) => entry(2 - i, base64(row)))),
        JSON.stringify(JSON.parse(reply(rows.map((row, i) => entry(i, base64(row))))), null, 1),
        reply(rows.map((_, i) => entry(i, Array(dimensions).fill(null)))),
      ].map(text => Buffer.concat([head, Buffer.from(text)]))
    }),
  check(input) {
    const choices = choicesOf(input, 2)
    const dimensions = 1 + choices.number(4)
    const inputs = 1 + choices.number(4)
    const rows = Array.from({ length: inputs }, (_, i) => inputs - i)
    // Rows before and after, which the decoder must not write to.
    const vectors = new Float32Array((inputs + 2) * dimensions).fill(42)
    let facts: ReturnType<typeof decodeEmbeddings> | undefined
    try {
      facts = decodeEmbeddings(choices.rest, { vectors, dimensions, rows })
    } catch (error) {
      if (!(error instanceof Error) || error.constructor.name !== 'InvalidReplyError') throw error
      must(error.message.length < 200, () => 'it quotes the reply')
    }
    const edges = [...vectors.subarray(0, dimensions), ...vectors.subarray((inputs + 1) * dimensions)]
    must(
      edges.every(value => value === 42),
      () => 'wrote outside of its rows',
    )
    const expected = decoded(choices.rest, dimensions, inputs)
    if (facts === undefined) {
      must(expected === undefined, () => 'a good reply was refused')
      return
    }
    if (expected === undefined) throw new Finding('a bad reply was taken')
    must(facts.model === expected.model, () => `model ${facts.model}, expected ${expected.model}`)
    must(facts.tokens === expected.tokens, () => `tokens ${facts.tokens}, expected ${expected.tokens}`)
    for (let i = 0; i < inputs; i++) {
      const row = vectors.subarray((inputs - i) * dimensions, (inputs - i + 1) * dimensions)
      must(sameBits(row, expected.vectors[i]), () => `the vector of input ${i} is another`)
    }
  },
}

const sameBits = (a: Float32Array, b: Float32Array | undefined): boolean =>
  b !== undefined && a.every((value, i) => Object.is(value, b[i]))

interface Decoded {
  readonly model: string | null
  readonly tokens: number | null
  readonly vectors: readonly Float32Array[]
}

// With its padding or without, also of the kind that is safe in URLs.
const BASE64 = /^(?:[A-Za-z0-9+/_-]{4})*(?:[A-Za-z0-9+/_-]{2}(?:==)?|[A-Za-z0-9+/_-]{3}=?)?$/

/** Undefined for a reply that is none. */
function decoded(body: Buffer, dimensions: number, inputs: number): Decoded | undefined {
  let json: unknown
  try {
    json = JSON.parse(body.toString())
  } catch {
    return undefined
  }
  if (!isRecord(json) || !Array.isArray(json.data) || json.data.length !== inputs) return undefined
  const vectors: Float32Array[] = []
  for (const [place, one] of json.data.entries()) {
    if (!isRecord(one)) return undefined
    const index = one.index ?? place
    if (
      typeof index !== 'number' ||
      !Number.isInteger(index) ||
      index < 0 ||
      index >= inputs ||
      vectors[index]
    )
      return undefined
    const { embedding } = one
    if (typeof embedding === 'string') {
      const bytes = Buffer.from(embedding, 'base64')
      if (!BASE64.test(embedding) || bytes.length !== 4 * dimensions) return undefined
      vectors[index] = Float32Array.from({ length: dimensions }, (_, d) => bytes.readFloatLE(4 * d))
    } else if (Array.isArray(embedding)) {
      if (embedding.length !== dimensions) return undefined
      if (!embedding.every(value => value === null || typeof value === 'number')) return undefined
      vectors[index] = Float32Array.from(embedding, value => value ?? Number.NaN)
    } else return undefined
  }
  const usage = isRecord(json.usage) ? (json.usage.prompt_tokens ?? json.usage.total_tokens) : null
  return {
    model: typeof json.model === 'string' ? json.model : null,
    tokens: typeof usage === 'number' && Number.isInteger(usage) && usage > 0 && usage <= 1e9 ? usage : null,
    vectors,
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
