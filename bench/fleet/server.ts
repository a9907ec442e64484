// Fake TEIs with the timing of GPUs, one for each speed given, in a process of their own. Remembers
// how much they had answered when.

import { startFakeTei } from '@reembed/testing'
import { DIMENSIONS } from './texts.ts'

const [, , speeds = '1'] = process.argv
const all = await Promise.all(
  speeds.split(',').map(speed =>
    startFakeTei({
      dimensions: DIMENSIONS,
      servedModelName: 'reembed/hash@r1',
      // 16 texts of 128 tokens fill a batch, which at speed 1 takes 25 ms: 640 texts/s at best.
      maxBatchTokens: 2_048,
      baseMs: 5 / Number(speed),
      msPerToken: 20 / 2_048 / Number(speed),
    }),
  ),
)
const answered = (): number => all.reduce((sum, { counts }) => sum + counts.inputs, 0)
let history: { readonly ms: number; readonly inputs: number }[] = []
let from = 0
setInterval(() => history.push({ ms: performance.now(), inputs: answered() - from }), 20)
process.send?.({ url: all.map(({ url }) => url).join(',') })

/** Texts answered since the last question, and the rate while the middle half of them was. */
process.on('message', () => {
  const inputs = answered() - from
  const inside = history.filter(one => one.inputs >= inputs * 0.25 && one.inputs <= inputs * 0.75)
  const [first, last] = [inside[0], inside.at(-1)]
  const rate = first && last ? ((last.inputs - first.inputs) / (last.ms - first.ms)) * 1_000 : Number.NaN
  history = []
  from = answered()
  process.send?.({ inputs, rate })
})
process.on('disconnect', () => process.exit())
