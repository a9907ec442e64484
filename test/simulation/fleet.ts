// A simulated model server: several replicas behind one address, each with weights of its own
// during an update, and the faults of a server that is busy, restarted or broken.

import type { Endpoint, EndpointInfo, Outcome } from '@reembed/endpoint'
import { ReembedError } from '@reembed/shared'
import { SLOW, stallOf } from './store.ts'
import type { Process, World } from './world.ts'

export const DIMENSIONS = 4
/** Prefix of a text that the model refuses until the server is repaired. */
export const POISON = 'poison'
/** How often a request that proves a model takes a turn. */
const PROOF = 0.3
/** The embedder gives a text up when it failed so often alone, while others passed. */
const BLAMED_TIMES = 3

/**
 * Whether a text may have become a reject; `repaired` if its run was planned after the repair of
 * the model server.
 */
export const mayRefuse = ({ blamed }: Pick<Fleet, 'blamed'>, text: string, repaired: boolean): boolean =>
  (text.startsWith(POISON) && !repaired) || (blamed.get(text) ?? 0) >= BLAMED_TIMES

export interface Fleet {
  /** The revision that each replica runs. */
  readonly replicas: string[]
  /** How often a request fails, and how often it is slow. */
  failing: number
  stalling: number
  /**
   * How often a text stood in a request that ended as one with a bad text does: often enough, and
   * it is a reject.
   */
  readonly blamed: Map<string, number>
  /** Whether it takes all texts now. */
  repaired: boolean
  open(process: Process): Promise<Endpoint>
}

export function createFleet(world: World, revision: string): Fleet {
  const fleet: Fleet = {
    replicas: [revision, revision],
    failing: 0,
    stalling: 0,
    blamed: new Map(),
    repaired: false,
    async open(process) {
      await world.turn(process)
      const info = infoOf(world.pick(fleet.replicas))
      await world.turn(process, stallOf(world, fleet.stalling))
      return endpointOf(world, process, fleet, info)
    },
  }
  return fleet
}

/** Like many servers, it reports its revision in /info but not in its replies. */
const infoOf = (revision: string): EndpointInfo => ({
  kind: 'tei',
  modelId: 'simulated',
  revision,
  pooling: 'mean',
  dimensions: DIMENSIONS,
  normalized: true,
  maxClientBatchSize: 8,
  maxConcurrentRequests: 128,
  maxInputLength: 512,
  maxBatchTokens: 16_384,
  maxBatchRequests: null,
  maxRequestTokens: null,
  autoTruncate: true,
  version: '1.9.3',
  payloadLimit: 2_000_000,
})

function endpointOf(world: World, process: Process, fleet: Fleet, info: EndpointInfo): Endpoint {
  const blame = (text: string): void => void fleet.blamed.set(text, (fleet.blamed.get(text) ?? 0) + 1)

  async function request(
    texts: readonly string[],
    vectors: Float32Array,
    { rows = texts.map((_, i) => i), signal }: Parameters<Endpoint['request']>[2] = {},
  ): Promise<Outcome> {
    await world.turn(process, stallOf(world, fleet.stalling))
    signal?.throwIfAborted()
    const revision = world.pick(fleet.replicas)
    const failure = world.chance(fleet.failing) ? faultOf(world, texts.length) : undefined
    if (world.chance(SLOW)) await world.turn(process)
    if (failure && ACCUSING.has(failure.kind)) texts.forEach(blame)
    if (failure) return failure
    if (!fleet.repaired && texts.some(text => text.startsWith(POISON))) {
      return { kind: 'bad_input', message: 'one of the texts cannot be tokenized' }
    }
    for (const [i, text] of texts.entries()) {
      vectors.set(vectorOf(revision, text), (rows[i] ?? i) * DIMENSIONS)
    }
    const badRows = world.chance(fleet.failing / 4) ? [world.below(texts.length)] : []
    for (const i of badRows) {
      blame(texts[i] ?? '')
      vectors.fill(Number.NaN, (rows[i] ?? i) * DIMENSIONS, ((rows[i] ?? i) + 1) * DIMENSIONS)
    }
    return { kind: 'ok', tokens: texts.length, queueMs: 1, inferenceMs: 1, totalMs: 2, badRows }
  }
  return {
    url: 'http://simulated',
    info,
    servedModel: null,
    route: '/embed',
    request,
    async embed(texts, { signal } = {}) {
      // A model is proved with many of these one after the other: enough that an update may come
      // between any two.
      if (world.chance(PROOF)) await world.turn(process)
      signal?.throwIfAborted()
      if (world.chance(fleet.failing / 4)) {
        throw new ReembedError('ENDPOINT_UNREACHABLE', 'simulated: 502', { retry: 'requeue' })
      }
      const revision = world.pick(fleet.replicas)
      const vectors = new Float32Array(texts.length * DIMENSIONS)
      for (const [i, text] of texts.entries()) vectors.set(vectorOf(revision, text), i * DIMENSIONS)
      return vectors
    },
    async restate() {
      await world.turn(process, stallOf(world, fleet.stalling))
      return infoOf(world.pick(fleet.replicas))
    },
    appliedPrompt: async () => null,
    countTokens: async () => null,
    async [Symbol.asyncDispose]() {},
  }
}

/** Failures after which the embedder may give up a text, if they happen to it again and again. */
const ACCUSING: ReadonlySet<Outcome['kind']> = new Set(['backend', 'reset', 'corrupt'])

/** Started again with a smaller limit, it refuses what is larger only. */
const LESS: Outcome & { readonly limit: number } = { kind: 'batch_limit', limit: 2, message: 'at most 2' }

const faultOf = (world: World, inputs: number): Outcome =>
  world.pick<Outcome>([
    { kind: 'overload', message: 'busy' },
    { kind: 'cold_start', message: 'starting' },
    { kind: 'reset', message: 'cut' },
    { kind: 'backend', message: 'out of memory' },
    { kind: 'corrupt', message: 'half a reply' },
    ...(inputs > LESS.limit ? [LESS] : []),
  ])

/**
 * The vector that `revision` gives: a unit vector that depends on all of both. Histories have few
 * texts, again and again.
 */
export function vectorOf(revision: string, text: string): Float32Array {
  const known = vectors.get(revision) ?? new Map<string, Float32Array>()
  vectors.set(revision, known)
  const vector = known.get(text) ?? makeVector(`${revision}\0${text}`)
  known.set(text, vector)
  return vector
}

/** By revision and text. */
const vectors = new Map<string, Map<string, Float32Array>>()

function makeVector(name: string): Float32Array {
  let hash = 2166136261
  for (let i = 0; i < name.length; i += 1) hash = Math.imul(hash ^ name.charCodeAt(i), 16777619)
  const vector = new Float32Array(DIMENSIONS)
  let norm = 0
  for (let i = 0; i < DIMENSIONS; i += 1) {
    hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) + 0x6d2b79f5
    const value = ((hash ^ (hash >>> 12)) >>> 0) / 2 ** 31 - 1
    vector[i] = value
    norm += value * value
  }
  return vector.map(value => value / Math.sqrt(norm))
}
