// All vectors of the current version in one Float32Array, and the texts nearest to the first one.
// Needs @reembed/shard alone: no Redis, no logger, no tokenizer.
//
//   OUTPUT=./vectors node float32array.ts

import { readCurrentManifest, readEmbeddings } from '@reembed/shard'

const { OUTPUT = './vectors' } = process.env

const { run, model, totals } = await readCurrentManifest(OUTPUT)
const vectors = new Float32Array(totals.rows * model.dimensions)
const ids: string[] = []
// The run is named, so that a version that is published meanwhile changes nothing.
for await (const batch of readEmbeddings(OUTPUT, { run })) {
  vectors.set(batch.vectors, ids.length * model.dimensions)
  ids.push(...batch.ids)
}
console.log(`${ids.length} vectors of ${model.dimensions} dimensions by ${model.id}`)

const vectorOf = (row: number): Float32Array =>
  vectors.subarray(row * model.dimensions, (row + 1) * model.dimensions)

/** The cosine, for vectors of length 1. */
function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0
  for (let i = 0; i < a.length; i += 1) sum += (a[i] ?? 0) * (b[i] ?? 0)
  return sum
}

const query = vectorOf(0)
const scores = ids.map((id, row) => ({ id, score: dot(query, vectorOf(row)) }))
for (const { id, score } of scores.sort((a, b) => b.score - a.score).slice(0, 3))
  console.log(score.toFixed(4), id)
