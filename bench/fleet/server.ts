// A fake TEI with the timing of a GPU, in a process of its own. Remembers how much it had answered when.

import { startFakeTei } from '@reembed/local/testing'
import { DIMENSIONS } from './texts.ts'

const tei = await startFakeTei({
  dimensions: DIMENSIONS,
  servedModelName: 'reembed/hash@r1',
  // 16 texts of 128 tokens fill a batch, which takes 25 ms: 640 texts/s at best.
  maxBatchTokens: 2_048,
  baseMs: 5,
  msPerToken: 20 / 2_048,
})
let history: { readonly ms: number; readonly inputs: number }[] = []
let from = 0
setInterval(() => history.push({ ms: performance.now(), inputs: tei.counts.inputs - from }), 20)
process.send?.({ url: tei.url })

/** Texts answered since the last question, and the rate while the middle half of them was. */
process.on('message', () => {
  const inputs = tei.counts.inputs - from
  const inside = history.filter(one => one.inputs >= inputs * 0.25 && one.inputs <= inputs * 0.75)
  const [first, last] = [inside[0], inside.at(-1)]
  const rate = first && last ? ((last.inputs - first.inputs) / (last.ms - first.ms)) * 1_000 : Number.NaN
  history = []
  from = tei.counts.inputs
  process.send?.({ inputs, rate })
})
process.on('disconnect', () => process.exit())
