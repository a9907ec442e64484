// What the fleet's limit makes of an endpoint: utilisation, refusals and fairness of simulated
// fleets. The limiter, step, coordinator and balancer are the real ones, the clock and the replicas
// are not.
//
//   node --conditions=@reembed/source packages/endpoint/test/parts/fleet-table.ts [workers = 1,4,32]
//
// Not measured: real servers, networks and clocks; batching across requests. Everything is seeded:
// the same figures each time.

import { type FleetOptions, jain, refusals, runFleet, utilisation } from './simulated-fleet.ts'

const scenarios: Record<string, Omit<FleetOptions, 'workers'> & { readonly settled: number }> = {
  '4 replicas': { seconds: 60, settled: 10, replicas: () => 4 },
  '1 -> 6 -> 2': { seconds: 100, settled: 10, replicas: s => (s < 30 ? 1 : s < 70 ? 6 : 2) },
  '0 -> 4': {
    seconds: 80,
    settled: 25,
    replicas: s => (s < 20 ? 0 : Math.min(4, 1 + Math.floor((s - 20) / 5))),
  },
  'one slow': { seconds: 60, settled: 10, replicas: () => 4, perSecond: r => (r === 0 ? 112 : 450) },
  'noisy client': { seconds: 60, settled: 10, replicas: () => 4, noise: s => (s % 20 < 10 ? 900 : 0) },
  'fast, 512 permits': { seconds: 60, settled: 10, replicas: () => 1, perSecond: () => 5_000 },
}
const print = (line: string): void => void process.stdout.write(`${line}\n`)
const fleets = (process.argv[2] ?? '1,4,32').split(',').map(Number)

print('| replicas | addressed | workers | used, changes included | used, last 20 s | refused | p99 | Jain |')
print('|---|---|---|---|---|---|---|---|')
for (const [name, { settled, ...scenario }] of Object.entries(scenarios)) {
  for (const addressable of [false, true]) {
    for (const workers of fleets) {
      const result = await runFleet({ ...scenario, workers, addressable })
      const { seconds } = scenario
      const cells = [
        name,
        addressable ? 'one by one' : 'one URL',
        workers,
        `${(100 * utilisation(result, settled, seconds)).toFixed(1)} %`,
        `${(100 * utilisation(result, seconds - 20, seconds)).toFixed(1)} %`,
        `${(100 * refusals(result, settled, seconds)).toFixed(2)} %`,
        `${Math.round(result.p99Ms)} ms`,
        jain(result.perWorker).toFixed(3),
      ]
      print(`| ${cells.join(' | ')} |`)
    }
  }
}
