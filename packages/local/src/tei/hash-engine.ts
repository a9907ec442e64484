// An engine without a model: the vector of a text is a hash of it. Fast, of any dimension, and anyone can compute
// the vector that a text must have, so a test can check every row of a run.

import type { EncodeOptions, Encoding, Engine } from './engine.ts'
import { normalize } from './normalize.ts'

export interface HashEngineOptions {
  /** Part of the hash: another model gives other vectors. Default 'reembed/hash'. */
  readonly model?: string | undefined
  /** Stated as model_sha, and part of the hash where given. */
  readonly sha?: string | undefined
  readonly dimensions?: number | undefined
  readonly maxInputLength?: number | undefined
  readonly prompts?: Readonly<Record<string, string>> | undefined
}

interface HashEncoding extends Encoding {
  readonly text: string
}

/** Tokens are words with the space before them, so that tokens joined are the text again. */
const TOKEN = /\s*\S+|\s+$/gu

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
      if (truncate === undefined || tokens.length <= truncate.tokens) return { text, length: tokens.length }
      const kept =
        truncate.side === 'right' ? tokens.slice(0, truncate.tokens) : tokens.slice(-truncate.tokens)
      return { text: kept.join(''), length: kept.length }
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

    /** A hash can't be undone: `#7 #8` stands for the ids 7 and 8, and has them again when tokenised. */
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

/** Exactly the normalised vector that the server replies for `text` (not truncated, no prompt), bit for bit. */
export function hashVector(text: string, options: HashEngineOptions = {}): Float32Array {
  const { model = 'reembed/hash', sha, dimensions = 384 } = options
  const vector = new Float32Array(dimensions)
  fill(vector, text, model, sha)
  normalize(vector)
  return vector
}

/** Numbers between -1 and 1 from a generator (sfc32) seeded with 64 bits of hash: no two texts of a test collide. */
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
    // The first twelve only mix the seed in.
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
