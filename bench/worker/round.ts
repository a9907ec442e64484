// One side of the worker bench in a process of its own: a whole worker, or the endpoint client alone in a loop.

import { setTimeout as wait } from 'node:timers/promises'
import { countPresent, shardsPresent } from '@reembed/producer'
import { openLog, openStore, requirePlan } from '@reembed/shared'
import { openEndpoint, startWorker } from '@reembed/worker'
import { DIMENSIONS, texts, vectorOf } from '../client/wire.ts'

interface Question {
  readonly url: string
  readonly documents: number
  /** Where a worker finds its jobs; without, this is the loop. */
  readonly jobs?: { readonly redis: string; readonly output: string; readonly run: string }
}

const AT_ONCE = 16

async function loop({ url, documents }: Question): Promise<void> {
  await using endpoint = await openEndpoint(url)
  const rows = texts.map((_, i) => i)
  let left = documents / texts.length
  const outputs = Array.from({ length: AT_ONCE }, () => new Float32Array(texts.length * DIMENSIONS))
  await Promise.all(
    outputs.map(async vectors => {
      while (left-- > 0) {
        const outcome = await endpoint.request(texts, vectors, { rows })
        if (outcome.kind !== 'ok' || outcome.badRows.length > 0) throw new Error(JSON.stringify(outcome))
      }
    }),
  )
  for (const vectors of outputs) {
    for (const i of rows) {
      const got = Buffer.from(vectors.buffer, i * DIMENSIONS * 4, DIMENSIONS * 4)
      if (!got.equals(Buffer.from(vectorOf(i).buffer))) throw new Error(`row ${i} is wrong`)
    }
  }
}

async function work({ url, jobs }: Question): Promise<void> {
  if (jobs === undefined) return
  await using store = await openStore(jobs.output)
  const plan = await requirePlan(store, jobs.run)
  const failed = Promise.withResolvers<never>()
  await using _worker = await startWorker({
    redis: jobs.redis,
    endpoint: url,
    outputs: [jobs.output],
    log: openLog({ level: 'warn' }),
    onTrouble: error => failed.reject(error),
  })
  while (countPresent(await shardsPresent(store, plan)) < plan.shards) {
    await Promise.race([wait(20), failed.promise])
  }
}

process.on('message', async (question: Question) => {
  const before = process.cpuUsage()
  const startedMs = performance.now()
  await (question.jobs ? work : loop)(question)
  const ms = performance.now() - startedMs
  const { user, system } = process.cpuUsage(before)
  process.send?.({ ms, cpuMs: (user + system) / 1000 })
})
process.on('disconnect', () => process.exit())
