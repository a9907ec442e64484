// pnpm simulate [--seeds N] [--from S] [--seed S]: runs histories until one breaks a promise, and says which.
// A seed that broke is replayed with --seed; it takes the same turns again.

import { parseArgs } from 'node:util'
import { type History, simulate } from './simulate.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '10000' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    'keep-going': { type: 'boolean', default: false },
  },
})
const from = Number(values.seed ?? values.from)
const count = values.seed === undefined ? Number(values.seeds) : 1
const started = performance.now()
const sums: Record<string, number> = {}
let turns = 0
let broken = 0

for (let seed = from; seed < from + count; seed += 1) {
  const history: History = await simulate(seed)
  turns += history.turns
  for (const [name, times] of Object.entries(history.counts)) sums[name] = (sums[name] ?? 0) + times
  if (history.broken.length === 0) continue
  broken += 1
  process.stdout.write(`seed ${seed} broke after ${history.turns} turns:\n  ${history.broken.join('\n  ')}\n`)
  if (!values['keep-going']) break
}
const seconds = (performance.now() - started) / 1000
const events = Object.entries(sums).map(([name, times]) => `${times.toLocaleString('en')} ${name}`)
process.stdout.write(
  `${count.toLocaleString('en')} seeds in ${seconds.toFixed(1)} s, ${turns.toLocaleString('en')} turns: ${events.join(', ')}; ${broken} broken\n`,
)
process.exitCode = broken > 0 ? 1 : 0
