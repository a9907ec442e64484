// How many texts of a corpus that repeats itself are embedded: the built command runs over
// documents whose texts have the frequencies of words (Zipf), as titles and log messages nearly do,
// and the server counts what it was asked for. Windows alone would embed the texts that differ
// within each 1,024 documents; no run can embed fewer than the texts that differ.
//
//   npm run build && node --conditions=@reembed/source bench/repeats.ts [documents = 200000]

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ask, start } from './child.ts'

const documents = Number(process.argv[2] ?? 200_000)
const WINDOW = 1_024
const main = fileURLToPath(new URL('../packages/reembed/dist/main.js', import.meta.url))

/** Draws texts by rank: the probability of rank r is proportional to r^-exponent. */
function zipf(texts: number, exponent: number): () => number {
  const sums = new Float64Array(texts)
  let total = 0
  for (let rank = 0; rank < texts; rank++) {
    total += (rank + 1) ** -exponent
    sums[rank] = total
  }
  let state = 1
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    const at = ((state >>> 0) / 2 ** 32) * total
    let [low, high] = [0, texts - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((sums[middle] ?? 0) < at) low = middle + 1
      else high = middle
    }
    return low
  }
}

async function measure(texts: number, exponent: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-bench-'))
  const server = start('client/server.ts')
  try {
    const [{ url }] = await once(server, 'message')
    const source = join(folder, 'corpus.jsonl')
    const out = createWriteStream(source)
    const draw = zipf(texts, exponent)
    const all = new Set<number>()
    let [window, windows] = [new Set<number>(), 0]
    for (let i = 0; i < documents; i++) {
      const rank = draw()
      all.add(rank)
      if (i % WINDOW === 0) window = new Set()
      if (!window.has(rank)) windows++
      window.add(rank)
      const line = `${JSON.stringify({ id: `d${i}`, text: `text ${rank}, a message of a program` })}\n`
      if (!out.write(line)) await once(out, 'drain')
    }
    out.end()
    await once(out, 'close')
    const output = join(folder, 'vectors')
    const args = [main, 'run', '--source', source, '--output', output, '--endpoint', url]
    const run = spawn(process.execPath, args, { stdio: 'ignore' })
    const [code] = await once(run, 'close')
    if (code !== 0) throw new Error(`the run ended with ${code}`)
    const { inputs } = await ask<{ inputs: number }>(server, {})
    const share = (count: number): string => `${((100 * count) / documents).toFixed(1)} %`
    return `| ${texts.toLocaleString('en-US')} | ${exponent} | ${share(all.size)} | ${share(windows)} | ${share(inputs)} |`
  } finally {
    server.kill()
    await rm(folder, { recursive: true, force: true })
  }
}

console.log('| texts | exponent | texts that differ | embedded by windows alone | embedded |')
console.log('|---|---|---|---|---|')
console.log(await measure(1_000, 1))
console.log(await measure(10_000, 1))
console.log(await measure(100_000, 1))
console.log(await measure(1_000_000, 0.8))
