// A process of the capacity bench with one or more workers. Asked by any message, it answers with
// what each counted.

import { readFile } from 'node:fs/promises'
import { createRegistry, openLog } from '@reembed/telemetry'
import { startWorker } from '@reembed/worker'

/** Totals of this worker since it was started. */
export interface Counted {
  readonly tokens: number
  readonly requests: number
  readonly refused: number
  /** Failed attempts of jobs; delayed and requeued jobs do not count. */
  readonly failed: number
}

const [, , url = '', addresses = '', redis = '', output = '', workers = '1'] = process.argv

async function begin() {
  const metrics = createRegistry()
  const worker = await startWorker({
    redis,
    endpoint: url,
    // As a DNS server would: those that are up now.
    endpointOptions: { resolve: async () => JSON.parse(await readFile(addresses, 'utf8')) },
    outputs: [output],
    log: openLog({ level: 'error' }),
    metrics,
  })
  return {
    async count(): Promise<Counted> {
      const lines = (await metrics.render()).split('\n')
      const total = (start: string): number =>
        lines
          .filter(line => line.startsWith(start))
          .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
      return {
        tokens: total('reembed_tokens_total'),
        requests: total('reembed_requests_total'),
        refused: total('reembed_requests_total{outcome="overload"}'),
        failed: total('reembed_jobs_total{outcome="failed"}'),
      }
    },
    end: () => worker[Symbol.asyncDispose](),
  }
}

const here = await Promise.all(Array.from({ length: Number(workers) }, begin))

process.on('message', async () => {
  process.send?.(await Promise.all(here.map(({ count }) => count())))
})
process.on('disconnect', async () => {
  await Promise.all(here.map(({ end }) => end()))
  process.exit()
})
process.send?.('ready')
