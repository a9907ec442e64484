// What a queue costs that several outputs and runs share: a worker beside the jobs of an output
// that it does not serve, one job behind many of another run, and a run beside a blocked one.
//
//   node --conditions=@reembed/source bench/shared-queue.ts [jobs] [seconds]

import { execFileSync } from 'node:child_process'
import { setTimeout as wait } from 'node:timers/promises'
import { startRedis } from '@reembed/local'
import { consume, type Job, openQueue } from '@reembed/queue'
import { ReembedError } from '@reembed/shared'

const [COUNT = 100_000, SECONDS = 60] = process.argv.slice(2).map(Number)
const JOB_MS = 5
const AT_ONCE = 4
const BEFORE_LATE = 50

await using redis = await startRedis()
await using queue = await openQueue(redis.url)
const jobs = (count: number, output: string, run: string): Job[] =>
  Array.from({ length: count }, (_, shard) => ({ output, run: run.repeat(26), shard }))
const commands = (): number => {
  const stats = execFileSync('redis-cli', ['-u', redis.url, 'info', 'stats'], { encoding: 'utf8' })
  return Number(/total_commands_processed:(\d+)/.exec(stats)?.[1])
}
async function timed<T>(what: string, run: () => Promise<T>): Promise<T> {
  const startedMs = performance.now()
  const result = await run()
  console.log(`${what}: ${(performance.now() - startedMs).toFixed(1)} ms`)
  return result
}

const foreign = jobs(COUNT, '/foreign', 'f')
await timed(`${COUNT} jobs added`, () => queue.add(foreign))
await timed(`${COUNT} jobs added again`, () => queue.add(foreign))
await timed('the jobs of a run counted', () => queue.counts({ output: '/foreign', run: 'f'.repeat(26) }))
{
  let events = 0
  await using _ = await consume(redis.url, async () => {}, {
    concurrency: AT_ONCE,
    outputs: ['/own'],
    onEvent: ({ kind }) => {
      if (kind !== 'idle') events += 1
    },
  })
  const before = commands()
  await wait(1_000 * SECONDS)
  const rate = (commands() - before) / SECONDS
  console.log(`${SECONDS} s beside ${COUNT} foreign jobs: ${events} events, ${rate.toFixed(1)} commands/s`)
}

await queue.add(jobs(COUNT, '/own', 'o'))
let taken = 0
let addedMs = 0
const late = Promise.withResolvers<void>()
{
  const startedMs = performance.now()
  await using _ = await consume(
    redis.url,
    async ({ run }) => {
      taken += 1
      if (run.startsWith('l')) {
        const ms = performance.now() - addedMs
        console.log(`one job behind ${COUNT - BEFORE_LATE}: taken after ${ms.toFixed(1)} ms`)
        late.resolve()
      } else if (taken === BEFORE_LATE) {
        addedMs = performance.now()
        await queue.add(jobs(1, '/own', 'l'))
      }
      await wait(JOB_MS)
    },
    { concurrency: AT_ONCE, outputs: ['/own'] },
  )
  await late.promise
  await wait(2_000)
  const rate = taken / ((performance.now() - startedMs) / 1_000)
  console.log(`jobs of ${JOB_MS} ms, ${AT_ONCE} at once: ${rate.toFixed(0)} jobs/s`)
}

// A run of short jobs beside a run whose attempts fail after two seconds.
const BLOCKED_MS = 2_000
const BESIDE = 200
await queue.add(jobs(BESIDE, '/beside', 'b'))
await queue.add(jobs(BESIDE, '/beside', 'h'))
{
  let [attempts, done] = [0, 0]
  const ended = Promise.withResolvers<void>()
  await using _ = await consume(
    redis.url,
    async ({ run }) => {
      if (run.startsWith('b')) {
        attempts += 1
        await wait(BLOCKED_MS)
        throw new ReembedError('STORE_UNREACHABLE', 'blocked', { retry: 'requeue' })
      }
      await wait(JOB_MS)
      done += 1
      if (done === BESIDE) ended.resolve()
    },
    { concurrency: AT_ONCE, outputs: ['/beside'] },
  )
  await timed(`${BESIDE} jobs of ${JOB_MS} ms beside a blocked run`, () => ended.promise)
  console.log(`attempts of the blocked run: ${attempts}`)
}
