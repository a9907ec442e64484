// Whether a sample of vectors comes from two models. Candidates for a partition are made; one
// counts if the rows of the smaller part lie in the directions of the larger by chance only. Topics
// of one model share directions, so a corpus of several topics is not mistaken for two models.

import { directionsOf, energyIn, principalDirections } from './subspace.ts'
import { dotAt, median, type Pause } from './vectors.ts'

/** Tells the vectors of the model with most rows from those of another. */
export interface ModelTest {
  /** Whether a unit vector is of another model than most rows. */
  isOther(vectors: Float32Array, at: number): boolean
}

/** `undecidable`: the vectors use all directions evenly, so nothing tells models apart. */
export type Mixture = ModelTest | 'one' | 'undecidable'

/** Limits between two models, as parts of the way from chance to the typical row. */
const LIMITS = [0.3, 0.35, 0.4, 0.45, 0.5]
/** Few rows may lie between a limit and this much above it. */
const GAP = 0.12
/** A typical row must exceed chance by this share of its length. */
const MIN_STRUCTURE = 0.2
const MIN_ROWS = 5
const MIN_SHARE = 0.002
/** Rows of the matrix of similarities. */
const COMPARED_ROWS = 1_024
/** The share of a part whose rows are surely in it. */
const CORE = 0.7
const ROUNDS = 60

/** Finds two models in a sample of unit vectors, row after row. */
export async function findMixture(sample: Float32Array, dimensions: number, pause: Pause): Promise<Mixture> {
  const all = Array.from({ length: sample.length / dimensions }, (_, row) => row)
  const whole = await testOf(sample, dimensions, all, pause)
  if (whole === undefined) return 'undecidable'
  for (const majority of [whole.own, ...(await parts(sample, dimensions, pause))]) {
    const test = await testOf(sample, dimensions, majority, pause)
    if (test?.isClear) return test
  }
  return 'one'
}

/** The test that the rows of one model give; undefined if they have no directions of their own. */
async function testOf(sample: Float32Array, dimensions: number, rows: readonly number[], pause: Pause) {
  const basis = await principalDirections(pick(sample, rows, dimensions), dimensions, pause)
  const chance = basis.length / dimensions / dimensions
  const energy = (vectors: Float32Array, at: number): number => energyIn(basis, vectors, at, dimensions)
  const count = sample.length / dimensions
  const energies: number[] = []
  for (let row = 0; row < count; row += 1) {
    await pause()
    energies.push(energy(sample, row * dimensions))
  }
  const typical = median(rows.map(row => energies[row] ?? 0))
  if (rows.length < 4 * directionsOf(dimensions) || typical - chance < MIN_STRUCTURE) return undefined
  const below = (way: number): number =>
    energies.filter(value => value < chance + way * (typical - chance)).length
  const candidates = LIMITS.map(way => ({ way, other: below(way), doubtful: below(way + GAP) - below(way) }))
  // The tail of one model has more rows just above any limit than below it.
  const clear = candidates.filter(
    ({ other, doubtful }) =>
      other >= Math.max(MIN_ROWS, MIN_SHARE * count) && 2 * doubtful < other && 2 * other <= count,
  )
  const [best] = clear.toSorted((a, b) => b.other - 2 * b.doubtful - (a.other - 2 * a.doubtful))
  const limit = chance + (best?.way ?? GAP) * (typical - chance)
  const others = energies.filter(value => value < limit)
  return {
    isOther: (vectors: Float32Array, at: number): boolean => energy(vectors, at) < limit,
    own: rows.filter(row => (energies[row] ?? 0) >= limit),
    isClear: best !== undefined && median(others) <= byChance(basis, dimensions),
  }
}

/**
 * What rows of another model have at most: they lie in k of d directions with k / d of their
 * length, give or take sqrt(2 k) / d if they all had the same direction.
 */
function byChance(basis: Float32Array, dimensions: number): number {
  const k = basis.length / dimensions
  return (k + 3 * Math.sqrt(2 * k)) / dimensions
}

/**
 * Two parts of about equal weight: the signs of the second eigenvector of the squared similarities,
 * which are large within a model and 1 / d between two.
 */
async function parts(sample: Float32Array, dimensions: number, pause: Pause): Promise<number[][]> {
  const count = sample.length / dimensions
  const size = Math.min(count, COMPARED_ROWS)
  const squares = new Float32Array(size * size)
  for (let a = 0; a < size; a += 1) {
    await pause()
    for (let b = 0; b <= a; b += 1) {
      const cosine = dotAt(sample, a * dimensions, sample, b * dimensions, dimensions)
      // A row is as similar to itself in any model.
      squares[a * size + b] = squares[b * size + a] = a === b ? 0 : cosine * cosine
    }
  }
  const first = await eigenvector(squares, size, pause)
  const second = await eigenvector(squares, size, pause, first)
  const rows = Array.from({ length: size }, (_, row) => row)
  const split = [rows.filter(row => (second[row] ?? 0) >= 0), rows.filter(row => (second[row] ?? 0) < 0)]
  // Rows near the border may be on its wrong side.
  const core = (part: number[]): number[] =>
    part
      .toSorted((a, b) => Math.abs(second[b] ?? 0) - Math.abs(second[a] ?? 0))
      .slice(0, Math.ceil(CORE * part.length))
  return split.map(core).toSorted((a, b) => b.length - a.length)
}

/** Power iteration, orthogonal to `against`. */
async function eigenvector(
  matrix: Float32Array,
  size: number,
  pause: Pause,
  against?: Float32Array,
): Promise<Float32Array> {
  let vector = Float32Array.from({ length: size }, (_, i) => 1 + ((i * 7_919) % 101) / 101)
  for (let round = 0; round < ROUNDS; round += 1) {
    await pause()
    const next = Float32Array.from({ length: size }, (_, row) => dotAt(matrix, row * size, vector, 0, size))
    if (against) {
      const part = dotAt(next, 0, against, 0, size)
      for (let i = 0; i < size; i += 1) next[i] = (next[i] ?? 0) - part * (against[i] ?? 0)
    }
    const norm = Math.sqrt(dotAt(next, 0, next, 0, size)) || 1
    vector = next.map(value => value / norm)
  }
  return vector
}

function pick(sample: Float32Array, rows: readonly number[], dimensions: number): Float32Array {
  const picked = new Float32Array(rows.length * dimensions)
  for (const [to, row] of rows.entries())
    picked.set(sample.subarray(row * dimensions, (row + 1) * dimensions), to * dimensions)
  return picked
}
