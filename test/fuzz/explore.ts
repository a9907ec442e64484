// Coverage-guided fuzzing: what reaches a branch for the first time, or as often as never before,
// or comes nearer to the other side of a comparison, is kept and changed again.

import { mulberry32 } from '../parts/random.ts'
import { mutate } from './mutate.ts'
import type { Target } from './target.ts'

/**
 * What an instrumented bundle counts into. It must be set where the first line of the bundle reads
 * it, before the bundle is loaded.
 */
export interface Sensors {
  readonly __hit: Uint8Array
  readonly __left: <T>(value: T) => T
  readonly __right: <T>(comparison: number, value: T) => T
}

export interface Signals extends Sensors {
  /** Forgets what the last input did. */
  reset(): void
  /** Counts the new signals of the last input and records them as known. */
  novelty(): number
  readonly edges: number
  readonly features: number
  readonly compared: readonly (readonly [Uint8Array, Uint8Array])[]
}

const NEAR_SLOTS = 1 << 16
const KEPT_COMPARISONS = 64
const MAX_COMPARED = 40

/** Once, twice, 3, 4 to 7, 8 to 15, 16 to 31, 32 to 127, more: a bit for each. */
const BUCKET_STARTS = [1, 2, 3, 4, 8, 16, 32, 128]
const BUCKET = Uint8Array.from({ length: 256 }, (_, count) =>
  count === 0 ? 0 : 1 << BUCKET_STARTS.findLastIndex(start => start <= count),
)

/** `branches` as the bundle has them. */
export function createSignals(branches: number): Signals {
  const __hit = new Uint8Array(4 * Math.ceil(branches / 4))
  const words = new Uint32Array(__hit.buffer)
  const seen = new Uint8Array(__hit.length)
  const near = new Uint8Array(NEAR_SLOTS)
  let nearer = 0
  let [edges, features] = [0, 0]
  let left: unknown
  const compared: (readonly [Uint8Array, Uint8Array])[] = []
  let oldest = 0

  function note(a: Uint8Array, b: Uint8Array): void {
    compared[oldest++ % KEPT_COMPARISONS] = [a, b]
  }

  /** `closeness` from 0 to 63. */
  function closer(comparison: number, closeness: number): void {
    const slot = (comparison * 64 + closeness) % NEAR_SLOTS
    if (near[slot] !== 0) return
    near[slot] = 1
    nearer += 1
  }

  return {
    __hit,
    __left(value) {
      left = value
      return value
    },
    __right(comparison, value) {
      if (typeof value === 'number' && typeof left === 'number') {
        if (value === left) return value
        closer(comparison, Math.clz32(value ^ left))
        if (Math.abs(value) > 255 && value % 1 === 0 && oldest % 7 === 0) note(bytesOf(left), bytesOf(value))
        oldest += 1
      } else if (typeof value === 'string' && typeof left === 'string') {
        if (value.length > MAX_COMPARED || left.length > MAX_COMPARED || value === left) return value
        let same = 0
        while (same < value.length && value[same] === left[same]) same += 1
        closer(comparison, same)
        note(Buffer.from(left), Buffer.from(value))
      }
      return value
    },
    reset() {
      __hit.fill(0)
      nearer = 0
    },
    novelty() {
      let fresh = nearer
      for (let word = 0; word < words.length; word++) {
        if (words[word] === 0) continue
        for (let branch = 4 * word; branch < 4 * word + 4; branch++) {
          const bit = BUCKET[__hit[branch] ?? 0] ?? 0
          const known = seen[branch] ?? 0
          if ((bit & ~known) === 0) continue
          if (known === 0) edges += 1
          seen[branch] = known | bit
          fresh += 1
        }
      }
      features += fresh
      return fresh
    },
    get edges() {
      return edges
    },
    get features() {
      return features
    },
    compared,
  }
}

function bytesOf(value: number): Uint8Array {
  const width = Math.abs(value) < 2 ** 16 ? 2 : Math.abs(value) < 2 ** 32 ? 4 : 8
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64LE(BigInt.asIntN(64, BigInt(Math.trunc(Number.isFinite(value) ? value : 0))))
  return bytes.subarray(0, width)
}

export interface Found {
  /** Equal for errors that most likely have the same cause. */
  readonly name: string
  readonly error: unknown
  readonly input: Buffer
}

export interface ExploreOptions {
  readonly seed: number
  /** Inputs of earlier runs. */
  readonly corpus?: readonly Uint8Array[]
  /** Called before each input is tried, in case it ends the process. */
  readonly onTry?: (input: Buffer) => void
  readonly onKept?: (input: Buffer) => void
  readonly onFound?: (found: Found) => void
  readonly onProgress?: (progress: Progress) => void
  /** Asked after each input. */
  readonly enough: (progress: Progress) => boolean
}

export interface Progress {
  readonly executions: number
  readonly edges: number
  readonly features: number
  readonly corpus: number
  readonly found: number
}

/** CPU time that one input may take: what takes longer hangs. */
const MAX_CPU_MS = 5_000
const MINIMIZE_TRIES = 400

/** Tries inputs until it is enough. */
export async function explore(
  target: Target,
  signals: Signals,
  { seed, corpus: given = [], onTry, onKept, onFound, onProgress, enough }: ExploreOptions,
): Promise<Progress> {
  const random = mulberry32(seed)
  const { maxBytes = 8_192 } = target
  const dictionary = (target.dictionary ?? []).map(word => Buffer.from(word as string))
  const corpus: Buffer[] = []
  const found = new Set<string>()
  let executions = 0
  const progress = (): Progress => ({
    executions,
    edges: signals.edges,
    features: signals.features,
    corpus: corpus.length,
    found: found.size,
  })

  /** The fault of an input, if it has one. */
  async function fault(input: Buffer): Promise<{ name: string; error: unknown } | undefined> {
    signals.reset()
    onTry?.(input)
    executions += 1
    const startedMs = performance.now()
    const started = process.cpuUsage()
    const peak = process.resourceUsage().maxRSS
    try {
      // What is kept of an input must not change when it is read.
      const done = target.check(Buffer.from(input))
      if (done) await done
    } catch (error) {
      return { name: nameOf(error), error }
    }
    if (performance.now() - startedMs > MAX_CPU_MS) {
      const { user, system } = process.cpuUsage(started)
      const ms = Math.round((user + system) / 1000)
      if (ms > MAX_CPU_MS) return { name: 'slow', error: new Error(`took ${ms} ms of CPU time`) }
    }
    const grown = (process.resourceUsage().maxRSS - peak) / 1024
    if (target.maxMiB !== undefined && grown > target.maxMiB) {
      return { name: 'memory', error: new Error(`took ${Math.round(grown)} MiB`) }
    }
    return undefined
  }

  async function tryOut(input: Buffer, keep = false): Promise<void> {
    const wrong = await fault(input)
    const fresh = signals.novelty()
    if (wrong === undefined) {
      if (fresh > 0 || keep) {
        corpus.push(input)
        if (fresh > 0) onKept?.(input)
      }
      return
    }
    if (found.has(wrong.name)) return
    found.add(wrong.name)
    onFound?.({ ...wrong, input: await minimize(input, wrong.name) })
  }

  async function minimize(input: Buffer, name: string): Promise<Buffer> {
    if (name === 'slow' || name === 'memory') return input
    let best = input
    for (let tries = 0, size = best.length >> 1; size > 0 && tries < MINIMIZE_TRIES; size >>= 1) {
      for (let at = 0; at < best.length && tries < MINIMIZE_TRIES; tries++) {
        const less = Buffer.concat([best.subarray(0, at), best.subarray(at + size)])
        if ((await fault(less))?.name === name) best = less
        else at += size
      }
    }
    return best
  }

  for (const input of [...(await target.seeds()), ...given]) {
    await tryOut(Buffer.from(input).subarray(0, maxBytes), true)
  }
  if (corpus.length === 0) corpus.push(Buffer.from('0'))
  while (!enough(progress())) {
    // Half of the time one of those kept lately: they are where something new was.
    const place =
      random() < 0.5
        ? Math.floor(random() * corpus.length)
        : corpus.length - 1 - Math.floor(random() ** 3 * corpus.length)
    const base = corpus[place] ?? Buffer.alloc(0)
    const other = corpus[Math.floor(random() * corpus.length)] ?? base
    await tryOut(mutate(base, { other, dictionary, compared: signals.compared, maxBytes }, random))
    if (executions % 256 === 0) {
      onProgress?.(progress())
      // Timers and sockets of a target have their turn.
      await new Promise(resolve => setImmediate(resolve))
    }
  }
  return progress()
}

/**
 * The kind of error, and the place in the code that threw it; of a finding what it says as well.
 */
function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return `threw ${typeof error}`
  const frames = (error.stack ?? '').split('\n').filter(line => /^\s+at .*target\.mjs|\.ts:/.test(line))
  const place =
    frames
      .find(line => !/ (?:must|refusing) /.test(line))
      ?.trim()
      .replace(/file:.*\//, '') ?? ''
  const words =
    error.name === 'Finding' ? error.message.replace(/"(?:[^"\\]|\\.)*"|-?\d+/g, '#').slice(0, 40) : ''
  return `${error.name}: ${words} ${place}`
}
