// Replies to requests with a canary: right and wrong vectors in any order. A reply is accepted only
// if its canary is right, and then each text has the vector and the fault of its own place.

import { createCanary, type Endpoint, type Outcome } from '@reembed/endpoint'
import { badRowsOf, collapsedTexts, cosine } from '@reembed/shared'
import { choicesOf, must, type Target } from '../target.ts'

const DIMENSIONS = 4
const KNOWN = ['cat', 'The quick brown fox jumps over the lazy dog.']

/** A unit vector of each text, by a hash of it. */
function vectorOf(text: string): Float32Array {
  let hash = 7
  for (const character of text) hash = (Math.imul(hash, 31) + (character.codePointAt(0) ?? 0)) >>> 0
  const vector = Float32Array.from({ length: DIMENSIONS }, (_, d) => 1 + ((hash >>> (d * 8)) & 255))
  const norm = Math.hypot(...vector)
  return vector.map(value => value / norm)
}

const INFO = {
  kind: 'tei',
  modelId: 'm',
  revision: null,
  dimensions: DIMENSIONS,
  normalized: true,
  maxClientBatchSize: 64,
  maxInputLength: 512,
} as unknown as Endpoint['info']

export const target: Target = {
  what: 'replies to requests with a canary: right and wrong vectors in any order',
  maxBytes: 64,
  maxMiB: 128,
  seeds: () =>
    [0, 1, 2, 3].flatMap(kind => [5, 40].map(texts => Buffer.alloc(texts + 3, kind).fill(texts, 0, 1))),
  async check(input) {
    const choices = choicesOf(input, input.length)
    const texts = Array.from({ length: 1 + choices.number(40) }, (_, i) => `text ${i}`)
    const place = choices.number(256) / 256
    const replied: Float32Array[] = []
    let sent: readonly string[] = []
    const endpoint = {
      url: 'http://fuzz',
      info: INFO,
      servedModel: null,
      route: '/embed',
      async request(given, vectors, { rows = [], canary } = {}): Promise<Outcome> {
        sent = given
        for (const [i, text] of given.entries()) {
          const kind = choices.number(6)
          const other = given[choices.number(given.length)] ?? ''
          const vector =
            kind < 3
              ? vectorOf(text)
              : kind === 3
                ? vectorOf(other)
                : new Float32Array(DIMENSIONS).fill(kind === 4 ? 0.5 : Number.NaN)
          replied.push(vector)
          vectors.set(vector, (rows[i] ?? 0) * DIMENSIONS)
        }
        if (collapsedTexts({ texts: given, rows, canary }, vectors, INFO) > 0)
          return { kind: 'collapsed', message: 'm' }
        const badRows = badRowsOf(vectors, rows, DIMENSIONS, true)
        return { kind: 'ok', tokens: null, queueMs: null, inferenceMs: null, totalMs: 1, badRows }
      },
    } as Pick<Endpoint, 'request'> as Endpoint
    const reference = {
      format: 1,
      model: { id: 'm', revision: null, dimensions: DIMENSIONS, pooling: null, normalized: true },
      texts: KNOWN,
      vectors: KNOWN.map(text => [...vectorOf(text)]),
      radius: 0,
    } as const
    const vectors = new Float32Array((texts.length + 1) * DIMENSIONS)
    const outcome = await createCanary(endpoint, reference, () => place).request(texts, vectors, {
      rows: texts.map((_, i) => texts.length - 1 - i),
      canaryRow: texts.length,
    })
    const at = sent.findIndex(text => KNOWN.includes(text))
    must(at >= 0 && sent.length === texts.length + 1, () => 'a request without its canary')
    if (outcome.kind !== 'ok') return
    const canary = replied[at] ?? new Float32Array(DIMENSIONS)
    must(cosine(canary, vectorOf(sent[at] ?? '')) > 0.999, () => 'a wrong canary was accepted')
    const own = replied.toSpliced(at, 1)
    for (const [i, expected] of own.entries()) {
      const row = texts.length - 1 - i
      const got = vectors.subarray(row * DIMENSIONS, (row + 1) * DIMENSIONS)
      must(
        got.every((value, d) => Object.is(value, expected[d])),
        () => `text ${i} has another vector`,
      )
      const isBad = !expected.every(Number.isFinite)
      must(outcome.badRows.includes(i) === isBad, () => `text ${i} is bad at another place`)
    }
  },
}
