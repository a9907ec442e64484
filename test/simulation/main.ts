// pnpm simulate [--seeds N] [--from S] [--seed S] [--mutation NAME]: runs histories until one breaks a promise, and
// says which. A seed that broke is replayed with --seed; it takes the same turns again. Its work is shared by as many
// threads as there are cores.

import { parseArgs } from 'node:util'
import { mutate } from './mutations.ts'
import type { History } from './simulate.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '10000' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    mutation: { type: 'string' },
    'keep-going': { type: 'boolean', default: false },
  },
})
if (values.mutation !== undefined) mutate(values.mutation)
// Loaded after the rule was taken out.
const { simulate } = await import('./simulate.ts')
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
