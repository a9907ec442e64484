// Measures the decoding of float32 vectors in a reply: base64 directly from the bytes, against a
// hot copy of the same size and against JSON.parse of the vectors as numbers. 32 vectors in each
// reply; alternating rounds, medians, CPU time of this process. Every value is compared before the
// measurement.
//
//   node --conditions=@reembed/source bench/decode.ts

import { decodeEmbeddings } from '@reembed/endpoint'

const INPUTS = 32
const ROUNDS = 9
/**
 * The dimensions of the promised speed. The fixed cost of a reply weighs more on shorter vectors.
 */
const CLAIMED = 768
const rows = Array.from({ length: INPUTS }, (_, i) => i)

interface Path {
  readonly name: string
  readonly times: number
  readonly run: () => void
  readonly nanoseconds: number[]
}

function pathsFor(dimensions: number): Path[] {
  const source = Float32Array.from(
    { length: INPUTS * dimensions },
    (_, i) => Math.sin(i) / Math.sqrt(dimensions),
  )
  const rowOf = (i: number): Float32Array => source.subarray(i * dimensions, (i + 1) * dimensions)
  const replyOf = (embedding: (i: number) => string | number[]): Buffer =>
    Buffer.from(
      JSON.stringify({
        object: 'list',
        data: rows.map(index => ({ object: 'embedding', embedding: embedding(index), index })),
        model: 'bench',
        usage: { prompt_tokens: 320, total_tokens: 320 },
      }),
    )
  const base64 = replyOf(i => Buffer.from(rowOf(i).slice().buffer).toString('base64'))
  const numbers = replyOf(i => [...rowOf(i)])
  const vectors = new Float32Array(source.length)
  const parse = (): void => {
    const { data } = JSON.parse(numbers.toString()) as { data: { embedding: number[] }[] }
    for (const [i, { embedding }] of data.entries()) vectors.set(embedding, i * dimensions)
  }
  const paths: Path[] = [
    { name: 'memcpy, hot', times: 20_000, run: () => vectors.set(source), nanoseconds: [] },
    {
      name: 'base64 from the bytes',
      times: 1_000,
      run: () => void decodeEmbeddings(base64, { vectors, dimensions, rows }),
      nanoseconds: [],
    },
    { name: 'JSON.parse', times: 30, run: parse, nanoseconds: [] },
  ]
  for (const { name, run } of paths) {
    vectors.fill(0)
    run()
    if (vectors.some((value, i) => value !== source[i])) throw new Error(`${name} gives other vectors`)
  }
  return paths
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN

console.log('| dimensions | path | CPU µs/embedding | times memcpy |')
console.log('|---|---|---|---|')
const claims: [string, number, number][] = []
for (const dimensions of [384, 768, 1024]) {
  const paths = pathsFor(dimensions)
  for (let round = -1; round < ROUNDS; round++) {
    for (const { times, run, nanoseconds } of paths) {
      const before = process.cpuUsage()
      for (let i = 0; i < times; i++) run()
      const { user, system } = process.cpuUsage(before)
      if (round >= 0) nanoseconds.push(((user + system) * 1_000) / (times * INPUTS))
    }
  }
  const [copy = 0, scan = 0, parsed = 0] = paths.map(({ nanoseconds }) => median(nanoseconds))
  for (const { name, nanoseconds } of paths) {
    const ns = median(nanoseconds)
    console.log(`| ${dimensions} | ${name} | ${(ns / 1000).toFixed(3)} | ${(ns / copy).toFixed(1)} |`)
  }
  if (dimensions !== CLAIMED) continue
  claims.push([`${dimensions} dimensions: base64 of memcpy`, scan / copy, 25])
  claims.push([`${dimensions} dimensions: base64 of JSON.parse`, scan / parsed, 1 / 25])
}
for (const [what, value, limit] of claims) {
  console.log(`${value <= limit ? 'held  ' : 'BROKEN'}  ${value.toFixed(3)} ${what}, at most ${limit}`)
}
process.exitCode = claims.every(([, value, limit]) => value <= limit) ? 0 : 1
