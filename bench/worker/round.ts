// One side of the worker bench in a process of its own: a whole worker, or the endpoint client
// alone in a loop.

import { setTimeout as wait } from 'node:timers/promises'
import { openEndpoint } from '@reembed/endpoint'
import { hashVector } from '@reembed/local'
import { countPresent, requirePlan, shardsPresent } from '@reembed/protocol'
import { openStore } from '@reembed/store'
import { openLog } from '@reembed/telemetry'
import { startWorker } from '@reembed/worker'
import { DIMENSIONS, texts, vectorOf } from '../client/wire.ts'
import { FAKE } from './wire.ts'

interface Question {
  readonly url: string
  readonly documents: number
  /** Whose vectors to expect: the fake TEI's, or the bare server's. */
  readonly isFake: boolean
  /** Where a worker finds its jobs; without, this is the loop. */
  readonly jobs?: { readonly redis: string; readonly output: string; readonly run: string }
}

const AT_ONCE = 16

/** Up and waiting; the function does the work. */
type Ready = () => Promise<void>

async function openLoop({ url, documents, isFake }: Question): Promise<Ready> {
  const endpoint = await openEndpoint(url)
  const rows = texts.map((_, i) => i)
  let left = documents / texts.length
  const outputs = Array.from({ length: AT_ONCE }, () => new Float32Array(texts.length * DIMENSIONS))
  return async () => {
    await Promise.all(
      outputs.map(async vectors => {
        while (left-- > 0) {
          const outcome = await endpoint.request(texts, vectors, { rows })
          if (outcome.kind !== 'ok' || outcome.badRows.length > 0) throw new Error(JSON.stringify(outcome))
        }
      }),
    )
    const expected = texts.map((text, i) =>
      Buffer.from((isFake ? hashVector(text, FAKE) : vectorOf(i)).buffer),
    )
    for (const vectors of outputs) {
      for (const i of rows) {
        const got = Buffer.from(vectors.buffer, i * DIMENSIONS * 4, DIMENSIONS * 4)
        if (!got.equals(expected[i] ?? Buffer.of())) throw new Error(`row ${i} is wrong`)
      }
    }
  }
}

async function openWorker({ url }: Question, jobs: NonNullable<Question['jobs']>): Promise<Ready> {
  const store = await openStore(jobs.output)
  const plan = await requirePlan(store, jobs.run)
  const failed = Promise.withResolvers<never>()
  let idle = Promise.withResolvers<void>()
  await startWorker({
    redis: jobs.redis,
    endpoint: url,
    outputs: [jobs.output],
    log: openLog({ level: 'warn' }),
    onIdle: () => idle.resolve(),
    onJobError: error => failed.reject(error),
  })
  return async () => {
    while (countPresent(await shardsPresent(store, plan)) < plan.shards) {
      // A worker may fetch its last job just after it found the queue empty, and then does not say
      // that it is idle.
      await Promise.race([idle.promise, wait(200), failed.promise])
      idle = Promise.withResolvers()
    }
  }
}

process.once('message', async (question: Question) => {
  const ready = await (question.jobs ? openWorker(question, question.jobs) : openLoop(question))
  process.once('message', async () => {
    const before = process.cpuUsage()
    const startedMs = performance.now()
    await ready()
    const ms = performance.now() - startedMs
    const { user, system } = process.cpuUsage(before)
    process.send?.({ ms, cpuMs: (user + system) / 1000 })
  })
  process.send?.('ready')
})
process.on('disconnect', () => process.exit())
