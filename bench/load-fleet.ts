// Measures how fast workers load a run into PostgreSQL together, without indexes, beside one
// `reembed load` alone. All are processes of their own; alternated rounds.
//
//   REEMBED_TEST_POSTGRES=<bin> node --conditions=@reembed/source bench/load-fleet.ts \
//     [rows x dimensions = 100000x384] [rounds = 3] [workers = 0,1,2]
//
// 0 workers: `reembed load` writes the shards itself. Seconds: from the order of the load to the
// record of the last shard, so without the start of processes; rows are counted afterwards.

import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startRedis } from '@reembed/local'
import { readLoadedShards, readLoadOrders } from '@reembed/protocol'
import { openQueue } from '@reembed/queue'
import { openStore } from '@reembed/store'
import { type Running, start } from '../test/parts/cli.ts'
import { startPostgres } from '../test/parts/postgres.ts'
import { publishedRun, SHARDS } from './load/published-run.ts'

const [, , size = '100000x384', rounds = '3', fleets = '0,1,2'] = process.argv
/** USER_HZ of Linux. */
const TICKS = 100

interface Measured {
  readonly seconds: number
  /** Seconds of CPU of the processes of reembed, from the order to the last record. */
  readonly cpu: number
}

const folder = await mkdtemp(join(tmpdir(), 'reembed-load-fleet-'))
await using output = await openStore(join(folder, 'output'), { create: true })
const { manifest, rows } = await publishedRun(output, size)
const { run } = manifest

/** utime and stime of a process, proc(5). */
function cpuOf({ child }: Running): number {
  const stat = readFileSync(`/proc/${child.pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS
}

async function measure(workers: number): Promise<Measured> {
  await using redis = await startRedis()
  await using queue = await openQueue(redis.url)
  await using server = await startPostgres()
  const client = await server.connect()
  const place = ['--output', output.url]
  const shared = [...place, '--redis', redis.url]
  const started = Array.from({ length: workers }, () =>
    start([
      ...['worker', ...shared, '--endpoint', 'http://127.0.0.1:9', '--sinks', server.url],
      ...['--concurrency', '2'],
    ]),
  )
  try {
    while ((await queue.workers()).length < workers) await sleep(50)
    started.push(start(['load', ...(workers > 0 ? shared : place), '--to', server.url, '--name', 'bench']))
    let order: { readonly load: string; readonly target: string } | undefined
    while (order === undefined) {
      await sleep(5)
      ;[order] = await Array.fromAsync(readLoadOrders(output, run))
    }
    const [before, begun] = [started.map(cpuOf), performance.now()]
    while ((await Array.fromAsync(readLoadedShards(output, manifest, order.load))).length < SHARDS)
      await sleep(5)
    const seconds = (performance.now() - begun) / 1_000
    const cpu = started.reduce((sum, process, i) => sum + cpuOf(process) - (before[i] ?? 0), 0)
    const found = await client.query(`SELECT count(*)::int AS count FROM ${order.target}`)
    if (found.rows[0]?.count !== rows) throw new Error(`${found.rows[0]?.count} rows instead of ${rows}`)
    return { seconds, cpu }
  } finally {
    for (const { child } of started) child.kill('SIGKILL')
    await Promise.all(started.map(({ finished }) => finished))
    await rm(join(output.url, 'runs', run, 'loads'), { recursive: true, force: true })
    await rm(join(output.url, 'runs', run, 'load-orders'), { recursive: true, force: true })
  }
}

try {
  const sizes = fleets.split(',').map(Number)
  const results = sizes.map((): Measured[] => [])
  for (let round = 0; round < Number(rounds); round += 1)
    for (const [i, workers] of sizes.entries()) results[i]?.push(await measure(workers))
  for (const [i, workers] of sizes.entries()) {
    const of = (name: keyof Measured): string =>
      (results[i] ?? []).map(one => one[name].toFixed(2)).join(', ')
    console.log(`${workers} workers: ${of('seconds')} s, CPU of reembed ${of('cpu')} s`)
  }
} finally {
  await rm(folder, { recursive: true })
}
