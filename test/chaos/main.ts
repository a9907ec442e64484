// npm run chaos -- <scenario...> [--documents N] [--faults N] [--seconds N] [--workers N] [--hold
// X] [--store folder|s3]
//                  [--seed N] [--rounds N] [--processes N] [--alone] [--log FILE] [--json]
//
// Runs each scenario beside a quiet run of the same size (with --alone without it: it tells the
// times) and compares the two. Exit code 1 if a promise was broken.

import { appendFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { bundleCommand } from '../parts/bundle.ts'
import { mulberry32 } from '../parts/random.ts'
import type { ClusterOptions } from './cluster.ts'
import { s3Fault } from './faults.ts'
import { raceForKeys } from './keys.ts'
import { type Row, rowOf, rowOfRace, table, unfinished } from './report.ts'
import { giving, SCENARIOS, type Scenario } from './scenarios.ts'
import { runTrial, type Trial } from './trial.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    documents: { type: 'string' },
    faults: { type: 'string' },
    seconds: { type: 'string' },
    workers: { type: 'string' },
    'documents-per-shard': { type: 'string', default: '100' },
    concurrency: { type: 'string', default: '2' },
    hold: { type: 'string', default: '1' },
    store: { type: 'string' },
    seed: { type: 'string', default: '1' },
    rounds: { type: 'string', default: '1000' },
    log: { type: 'string' },
    alone: { type: 'boolean', default: false },
    processes: { type: 'string', default: '64' },
    json: { type: 'boolean', default: false },
  },
})
const seed = Number(values.seed)
const names = positionals.length > 0 ? positionals : [...Object.keys(SCENARIOS), 'keys']
const note = (line: string): void => void process.stderr.write(`${line}\n`)
process.exitCode = await main()

async function main(): Promise<number> {
  const strange = names.filter(name => name !== 'keys' && !Object.hasOwn(SCENARIOS, name))
  if (strange.length > 0) {
    const known = Object.entries(SCENARIOS).map(([name, { about }]) => `  ${name.padEnd(14)} ${about}`)
    note(
      `chaos: no scenario '${strange[0]}'; there are\n${known.join('\n')}\n  keys           many processes put the same key`,
    )
    return 2
  }
  const command = [await bundleCommand()]
  const quiet = new Map<string, Trial>()
  const rows: Row[] = []
  for (const name of names) {
    const scenario = SCENARIOS[name]
    if (scenario)
      rows.push(await play(name, scenario, command, quiet).catch(error => unfinished(name, error)))
    else rows.push(...(await race()))
    note(table(rows.slice(-1)))
  }
  process.stdout.write(values.json ? `${JSON.stringify(rows, null, 2)}\n` : `${table(rows)}\n`)
  return rows.some(({ broken }) => broken.length > 0) ? 1 : 0
}

/** The quiet run first, once for all scenarios of the same size. */
async function play(
  name: string,
  scenario: Scenario,
  command: readonly string[],
  quiet: Map<string, Trial>,
): Promise<Row> {
  const faults = Number(values.faults ?? scenario.faults)
  const options = optionsOf(scenario, command)
  const { command: _, drainSeconds: __, ...size } = options
  const sizeName = JSON.stringify(size)
  const known = quiet.get(sizeName)
  const how = values.alone ? 'no quiet run' : known ? 'the quiet run is known' : 'a quiet run first'
  note(`chaos ${name}: ${options.documents} documents, ${how}`)
  const calm = values.alone
    ? undefined
    : (known ?? (await runTrial({ ...options, hoursAhead: undefined, onLine: lineWriter('quiet ') })))
  if (calm) quiet.set(sizeName, calm)
  note(
    `chaos ${name}: ${calm ? `quiet ${calm.seconds.toFixed(0)} s; ` : ''}now ${scenario.about}, seed ${seed}`,
  )
  const random = mulberry32(seed)
  const ofS3 = mulberry32(seed + 1)
  let s3Faults = 0
  const faulty = (): ReturnType<typeof s3Fault> => {
    const fault = s3Fault(ofS3)
    if (fault) s3Faults += 1
    return fault
  }
  const onLine = lineWriter('')
  const hurt = giving(scenario.given(Number(values.hold)), faults, random)
  const trial = await runTrial({ ...options, onLine, ...(scenario.s3Faults && { s3Fault: faulty }) }, hurt)
  return rowOf({ name, scenario, faults, s3Faults, trial, calm })
}

function optionsOf({ documents, seconds, cluster }: Scenario, command: readonly string[]): ClusterOptions {
  const count = Number(values.documents ?? documents)
  return {
    command,
    store: values.store === 's3' ? 's3' : 'folder',
    documents: count,
    documentsPerShard: Number(values['documents-per-shard']),
    textsPerSecond: count / Number(values.seconds ?? seconds),
    replicas: 1,
    workers: 4,
    concurrency: Number(values.concurrency),
    drainSeconds: () => 10,
    ...cluster,
    ...(values.workers !== undefined && { workers: Number(values.workers) }),
  }
}

async function race(): Promise<Row[]> {
  const rows: Row[] = []
  for (const store of ['folder', 's3'] as const) {
    note(`chaos keys: ${values.processes} processes, ${values.rounds} rounds, ${store}`)
    rows.push(
      rowOfRace(
        store,
        await raceForKeys({ store, processes: Number(values.processes), rounds: Number(values.rounds) }),
      ),
    )
  }
  return rows
}

/** Writes the log lines of the workers, each with the number of its process. */
function lineWriter(of: string): ((worker: number, line: string) => void) | undefined {
  const { log } = values
  return log === undefined ? undefined : (worker, line) => appendFileSync(log, `${of}${worker} ${line}\n`)
}
