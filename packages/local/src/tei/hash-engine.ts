// An engine without a model: the vector of a text is a hash of the text. It is fast, supports any
// number of dimensions, and lets a test compute the expected vector of every row.

import type { EncodeOptions, Encoding, Engine } from './engine.ts'
import { normalize } from './normalize.ts'

export interface HashEngineOptions {
  /** Model id. Part of the hash: another model gives other vectors. Default 'reembed/hash'. */
  readonly model?: string | undefined
  /** Reported as model_sha, and part of the hash if given. */
  readonly sha?: string | undefined
  /** Default 384. */
  readonly dimensions?: number | undefined
  /** Maximum tokens per text. Default 512. */
  readonly maxInputLength?: number | undefined
  readonly prompts?: Readonly<Record<string, string>> | undefined
}

interface HashEncoding extends Encoding {
  readonly text: string
}

/** A token is a word with the whitespace before it, so that joined tokens give the text. */
const TOKEN = /\s*\S+|\s+$/gu

/** Creates an engine that hashes texts. */
export function createHashEngine(options: HashEngineOptions = {}): Engine<HashEncoding> {
  const { model = 'reembed/hash', sha, dimensions = 384, maxInputLength = 512, prompts = {} } = options

  return {
    model: {
      id: model,
      sha: sha ?? null,
      dtype: 'float32',
      pooling: 'mean',
      dimensions,
      maxInputLength,
      prompts,
    },
    padded: false,
    maxBatchRequests: null,
    concurrentBatches: 1,

    encode(text: string, { truncate }: EncodeOptions): HashEncoding {
      const tokens = text.match(TOKEN) ?? []
      const wholeLength = tokens.length
      if (truncate === undefined || wholeLength <= truncate.tokens)
        return { text, length: wholeLength, wholeLength }
      const kept =
        truncate.side === 'right' ? tokens.slice(0, truncate.tokens) : tokens.slice(-truncate.tokens)
      return { text: kept.join(''), length: kept.length, wholeLength }
    },

    tokenize(text: string) {
      let start = 0
      return (text.match(TOKEN) ?? []).map(token => {
        const stop = start + [...token].length
        const span = { id: idOf(token), text: token, special: false, start, stop }
        start = stop
        return span
      })
    },

    /**
     * A hash is not reversible, so ids 7 and 8 decode to `#7 #8`, which tokenizes to 7 and 8 again.
     */
    decode: (ids: readonly number[]) => ids.map(id => `#${id}`).join(' '),

    async embed(batch: readonly HashEncoding[]) {
      const vectors = new Float32Array(batch.length * dimensions)
      batch.forEach(({ text }, i) => {
        fill(vectors.subarray(i * dimensions, (i + 1) * dimensions), text, model, sha)
      })
      return vectors
    },

    async [Symbol.asyncDispose]() {},
  }
}

/**
 * Returns the normalised vector that the server returns for `text` without truncation and prompt,
 * bit for bit.
 */
export function hashVector(text: string, options: HashEngineOptions = {}): Float32Array {
  const { model = 'reembed/hash', sha, dimensions = 384 } = options
  const vector = new Float32Array(dimensions)
  fill(vector, text, model, sha)
  normalize(vector)
  return vector
}

/**
 * Fills the vector with numbers in [-1, 1) from sfc32, seeded with a 64-bit hash to avoid
 * collisions.
 */
function fill(vector: Float32Array, text: string, model: string, sha: string | undefined): void {
  const seeded = `${model}@${sha ?? ''}\n${text}`
  let a = fnv1a(seeded, 0x811c9dc5)
  let b = fnv1a(seeded, 0x9747b28c)
  let c = text.length
  let counter = 1
  for (let i = -12; i < vector.length; i++) {
    const next = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + next
    // The first 12 outputs of sfc32 depend too little on the seed and are discarded.
    if (i >= 0) vector[i] = next / 0x8000_0000
  }
}

/** FNV-1a over UTF-16 units. */
function fnv1a(text: string, basis: number): number {
  let hash = basis
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash
}

function idOf(token: string): number {
  const stated = /^\s*#(\d{1,10})$/.exec(token)?.[1]
  return Number(stated ?? fnv1a(token, 0x811c9dc5) >>> 0)
}
