// npm run paid-again -- [--documents 20000] [--at 23,50,90] [--scenario NAME]: counts the documents
// that are embedded more than once because something interrupted a run by the command at its
// default settings. The fake TEI counts each text that it embeds; canaries and the texts that
// identify its model do not count. Each scenario ends with `verify`. Exit code 1 if a run fails.
//
//   ctrl-c         SIGINT at n % of the documents, then the same command
//   edited         one document is edited at n %, SIGINT, then the same command
//   duplicate-ids  the document at n % has the id of an earlier one, then it is corrected
//   lock-lost      the locks of all jobs in progress are deleted in Redis
//   redis-restart  Redis is killed at n % and restarted without its data
//   fleet-restart  the same, with two more workers
//   fleet-flush    FLUSHALL at n %, with two more workers

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startRedis } from '@reembed/local'
import { startFakeTei } from '@reembed/testing'
import { Redis } from 'ioredis'
import { flags, reembed, start, temporaryFolder, writeJsonl } from './parts/cli.ts'

interface Line {
  readonly id: string
  readonly text: string
}

const { values } = parseArgs({
  options: {
    documents: { type: 'string', default: '20000' },
    at: { type: 'string', default: '23,50,90' },
    scenario: { type: 'string', multiple: true },
  },
})
const count = Number(values.documents)

const original = (): Line[] =>
  Array.from({ length: count }, (_, i) => ({ id: `d${i}`, text: `document ${i} speaks of topic ${i % 97}` }))
const changed = (at: number, change: Partial<Line>): Line[] =>
  original().map((line, i) => (i === at ? { ...line, ...change } : line))

const print = (line: string): void => void process.stdout.write(`${line}\n`)

/** Texts of documents that the server embedded. */
function createCounter() {
  const seen = new Set<string>()
  let received = 0
  let [target, reached] = [Number.POSITIVE_INFINITY, Promise.withResolvers<void>()]
  return {
    get again() {
      return received - seen.size
    },
    add(text: string): boolean {
      if (text.startsWith('document ')) {
        seen.add(text)
        received += 1
        if (received >= target) reached.resolve()
      }
      return false
    },
    async reach(documents: number): Promise<void> {
      ;[target, reached] = [documents, Promise.withResolvers<void>()]
      if (received >= target) return
      await reached.promise
    },
  }
}

interface Trial {
  readonly source: string
  readonly args: readonly string[]
  /** The command of a worker of the run. */
  readonly worker: readonly string[]
  readonly redis: Awaited<ReturnType<typeof startRedis>>
  readonly counter: ReturnType<typeof createCounter>
  /** The document at which it happens. */
  readonly at: number
}

async function interrupted({ args, counter, at }: Trial, meanwhile?: () => Promise<unknown>): Promise<void> {
  const running = start(args)
  await counter.reach(at)
  await meanwhile?.()
  running.child.kill('SIGINT')
  await running.finished
}

/** Kills Redis, and starts it without its data. */
async function restart(redis: Trial['redis']): Promise<AsyncDisposable> {
  process.kill(redis.pid, 'SIGKILL')
  const { port, password } = new URL(redis.url)
  return startRedis({ port: Number(port), password })
}

/** A run of which two more workers make shards. */
async function withFleet({ args, worker, redis, counter, at }: Trial, meanwhile: () => Promise<unknown>) {
  const running = start([...args, '--redis', redis.url])
  const workers = [1, 2].map(() => start([...worker, '--redis', redis.url]))
  await counter.reach(at)
  await meanwhile()
  await running.finished
  for (const { child } of workers) child.kill('SIGTERM')
  await Promise.all(workers.map(({ finished }) => finished))
}

async function ends(args: readonly string[]): Promise<void> {
  const { code, stderr } = await reembed(args)
  if (code !== 0) throw new Error(`exit code ${code}: ${stderr.slice(-1_000)}`)
}

const SCENARIOS: Readonly<Record<string, (trial: Trial) => Promise<unknown>>> = {
  'ctrl-c': interrupted,
  edited: trial =>
    interrupted(trial, () => writeJsonl(trial.source, changed(1_000, { text: 'document 1000, edited' }))),
  async 'duplicate-ids'({ source, args, at }) {
    await writeJsonl(source, changed(at, { id: 'd10' }))
    const { code } = await reembed(args)
    if (code !== 4) throw new Error(`exit code ${code} for duplicate ids`)
    await writeJsonl(source, original())
  },
  async 'lock-lost'({ args, redis, counter, at }) {
    const running = start([...args, '--redis', redis.url])
    await counter.reach(at)
    const client = new Redis(redis.url)
    const locks = await client.keys('*:lock')
    if (locks.length > 0) await client.del(...locks)
    client.disconnect()
    await running.finished
  },
  async 'redis-restart'({ args, redis, counter, at }) {
    const running = start([...args, '--redis', redis.url])
    await counter.reach(at)
    await using _ = await restart(redis)
    await running.finished
  },
  async 'fleet-restart'(trial) {
    await using stack = new AsyncDisposableStack()
    await withFleet(trial, async () => stack.use(await restart(trial.redis)))
  },
  async 'fleet-flush'(trial) {
    const client = new Redis(trial.redis.url)
    await withFleet(trial, () => client.flushall())
    client.disconnect()
  },
}

print(`| ${count.toLocaleString('en-US')} documents | at | paid again | share | s |`)
print('|---|---|---|---|---|')
for (const [name, happen] of Object.entries(SCENARIOS)) {
  if (values.scenario && !values.scenario.includes(name)) continue
  for (const percent of values.at.split(',').map(Number)) {
    const counter = createCounter()
    await using folder = await temporaryFolder()
    await using redis = await startRedis()
    await using tei = await startFakeTei({
      dimensions: 384,
      baseMs: 8,
      msPerToken: 0.05,
      // Called for each text whose vector was computed; a refused request costs nothing.
      faults: { nan: counter.add },
    })
    const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), original())
    const output = join(folder.path, 'vectors')
    const args = ['run', ...flags({ source, output, endpoint: tei.url })]
    const worker = ['worker', ...flags({ output, endpoint: tei.url, concurrency: '2' })]
    const startedMs = performance.now()
    await happen({ source, args, worker, redis, counter, at: Math.floor((count * percent) / 100) })
    await ends(args)
    const seconds = (performance.now() - startedMs) / 1_000
    await ends(['verify', '--output', output])
    const lines = (await readFile(source, 'utf8')).trimEnd().split('\n').length
    if (lines !== count) throw new Error(`${lines} lines in the corpus`)
    const share = ((100 * counter.again) / count).toFixed(1)
    print(
      `| ${name} | ${percent} % | ${counter.again.toLocaleString('en-US')} | ${share} % | ${seconds.toFixed(1)} |`,
    )
  }
}
