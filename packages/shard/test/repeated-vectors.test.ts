import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { canHaveMajority, createRepeatedVectors } from '../src/read/repeated-vectors.ts'

const DIMENSIONS = 6

/** One row for each pair of a text and the number of its vector. */
function rowsOf(rows: readonly (readonly [text: string, vector: number])[]) {
  const hashes = Buffer.concat(
    rows.map(([text]) => createHash('sha256').update(text).digest().subarray(0, 16)),
  )
  const vectors = Float32Array.from(
    rows.flatMap(([, vector]) => Array.from({ length: DIMENSIONS }, (_, d) => (d === 4 ? vector : 0.5))),
  )
  return { hashes, vectors }
}

function countOf(...groups: (readonly (readonly [string, number])[])[]): number {
  const repeated = createRepeatedVectors(DIMENSIONS)
  for (const rows of groups) repeated.add(rowsOf(rows))
  return repeated.count
}

describe('createRepeatedVectors', () => {
  test('counts the texts of a vector that at least four different texts have, neighbours or not', () => {
    expect(countOf([...'abcd'].map(text => [text, 1]))).toBe(4)
    expect(
      countOf([
        ['a', 1],
        ['b', 2],
        ['c', 1],
        ['d', 2],
        ['e', 1],
        ['f', 1],
        ['g', 3],
      ]),
    ).toBe(4)
  })

  test('does not count equal texts, three variants of a text, and different vectors', () => {
    expect(countOf([...'aaaaaaaa'].map(text => [text, 1]))).toBe(0)
    expect(countOf([...'abcabc'].map(text => [text, 1]))).toBe(0)
    expect(countOf([...'abcdefgh'].map((text, i) => [text, i]))).toBe(0)
  })

  test('compares whole vectors: those that agree in the values of the fingerprint are apart', () => {
    const rows = Array.from({ length: 200 }, (_, i): [string, number] => [`text ${i}`, i])
    expect(countOf(rows)).toBe(0)
    expect(countOf(rows.map(([text, i]) => [text, i % 50]))).toBe(200)
  })

  test('the majority is the texts of one vector that more than half of a row group have', () => {
    const majorityOf = (vectors: number[]): number => {
      const repeated = createRepeatedVectors(DIMENSIONS)
      repeated.add(rowsOf(vectors.map((vector, i) => [`text ${i}`, vector])))
      return repeated.majority
    }
    expect(majorityOf([1, 1, 1, 1, 1, 2, 3, 4])).toBe(5)
    expect(majorityOf([1, 1, 1, 1, 2, 3, 4, 5])).toBe(0)
    expect(majorityOf(Array.from({ length: 200 }, (_, i) => i % 50))).toBe(0)
  })

  test('a majority is possible only where three values of more than half of the vectors agree', () => {
    const isPossible = (first: number[]): boolean =>
      canHaveMajority(Float32Array.from(first.flatMap(value => [value, 7])), 2)
    expect(isPossible([2, 1, 1, 3, 1])).toBe(true)
    expect(isPossible([1, 2, 3, 1, 1])).toBe(true)
    expect(isPossible([1, 1, 2, 3])).toBe(false)
    expect(isPossible([1, 2, 3, 4, 5])).toBe(false)
    expect(isPossible([])).toBe(false)
    // Of binary vectors most have one first value, and few have all three. The signs of the three
    // have one product in all of these.
    const signs = Array.from({ length: 60 }, (_, i) => {
      const [first, middle] = [i % 3 === 0 ? 1 : -1, i & 1 ? 1 : -1]
      return [first, 1, middle, first * middle]
    })
    expect(canHaveMajority(Float32Array.from(signs.flat()), 4)).toBe(false)
  })

  test('adds up row groups, each by itself', () => {
    expect(
      countOf(
        [...'abcd'].map(text => [text, 1]),
        [...'efgh'].map(text => [text, 1]),
      ),
    ).toBe(8)
    expect(
      countOf(
        [...'abc'].map(text => [text, 1]),
        [...'def'].map(text => [text, 1]),
      ),
    ).toBe(0)
  })
})
