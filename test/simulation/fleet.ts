// A simulated model server: several replicas behind one address, each with weights of its own during an update, and
// the faults of a server that is busy, restarted or broken.

import type { Endpoint, EndpointInfo, Outcome } from '@reembed/worker'
import type { Process, World } from './world.ts'

export const DIMENSIONS = 4

export interface Fleet {
  /** The revision that each replica runs. */
  readonly replicas: string[]
  /** How often a request goes wrong. */
  failing: number
  open(process: Process): Promise<Endpoint>
}

export function createFleet(world: World, revision: string): Fleet {
  const fleet: Fleet = {
    replicas: [revision, revision],
    failing: 0,
    async open(process) {
      await world.turn(process)
      const info = infoOf(world.pick(fleet.replicas))
      await world.turn(process)
      return endpointOf(world, process, fleet, info)
    },
  }
  return fleet
}

/** As many servers do, it says which revision it runs when asked, but not in its replies. */
const infoOf = (revision: string): EndpointInfo => ({
  kind: 'tei',
  modelId: 'simulated',
  revision,
  pooling: 'mean',
  dimensions: DIMENSIONS,
  normalized: true,
  maxClientBatchSize: 8,
  maxConcurrentRequests: 512,
  maxInputLength: 512,
  maxBatchTokens: 16_384,
  maxBatchRequests: null,
  autoTruncate: true,
  version: '1.9.3',
  payloadLimit: 2_000_000,
})

function endpointOf(world: World, process: Process, fleet: Fleet, info: EndpointInfo): Endpoint {
  async function request(
    texts: readonly string[],
    vectors: Float32Array,
    { rows = texts.map((_, i) => i), signal }: Parameters<Endpoint['request']>[2] = {},
  ): Promise<Outcome> {
    await world.turn(process)
    signal?.throwIfAborted()
    const revision = world.pick(fleet.replicas)
    const failure = world.chance(fleet.failing) ? faultOf(world, texts.length) : undefined
    await world.turn(process)
    if (failure) return failure
    for (const [i, text] of texts.entries()) {
      vectors.set(vectorOf(revision, text), (rows[i] ?? i) * DIMENSIONS)
    }
    const badRows = world.chance(fleet.failing / 4) ? [world.below(texts.length)] : []
    for (const i of badRows)
      vectors.fill(Number.NaN, (rows[i] ?? i) * DIMENSIONS, ((rows[i] ?? i) + 1) * DIMENSIONS)
    return { kind: 'ok', tokens: texts.length, queueMs: 1, inferenceMs: 1, totalMs: 2, badRows }
  }
  return {
    url: 'http://simulated',
    info,
    servedModel: null,
    route: '/embed',
    request,
    async embed(texts, { signal } = {}) {
      const vectors = new Float32Array(texts.length * DIMENSIONS)
      for (;;) {
        const outcome = await request(texts, vectors, { signal })
        if (outcome.kind === 'ok' && outcome.badRows.length === 0) return vectors
      }
    },
    appliedPrompt: async () => null,
    countTokens: async () => null,
    async [Symbol.asyncDispose]() {},
  }
}

/** Started again with a smaller limit, it refuses what is larger only. */
const LESS: Outcome & { readonly limit: number } = { kind: 'batch_limit', limit: 2, message: 'at most 2' }

const faultOf = (world: World, inputs: number): Outcome =>
  world.pick<Outcome>([
    { kind: 'overload', message: 'busy' },
    { kind: 'cold', message: 'starting' },
    { kind: 'reset', message: 'cut' },
    { kind: 'backend', message: 'out of memory' },
    { kind: 'corrupt', message: 'half a reply' },
    ...(inputs > LESS.limit ? [LESS] : []),
  ])

/** The vector that `revision` gives: a unit vector that depends on all of both. Histories have few texts, again and again. */
export function vectorOf(revision: string, text: string): Float32Array {
  const name = `${revision}\0${text}`
  const known = vectors.get(name)
  if (known) return known
  const vector = makeVector(name)
  vectors.set(name, vector)
  return vector
}

const vectors = new Map<string, Float32Array>()

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
