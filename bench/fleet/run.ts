// A run for a fleet of whole workers: a corpus, its plan, a store and a queue; and the checks of
// its shards.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { hashVector, startRedis } from '@reembed/local'
import { openCorpus, planRun, recordPlan } from '@reembed/planner'
import { enqueueMissing } from '@reembed/producer'
import { countPresent, shardsPresent } from '@reembed/protocol'
import { openQueue } from '@reembed/queue'
import { readShard } from '@reembed/shard'
import { shardKey } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { DIMENSIONS, textOf } from './texts.ts'

const MODEL = {
  id: 'reembed/hash',
  revision: 'r1',
  dimensions: DIMENSIONS,
  pooling: 'mean',
  normalized: true,
}

export interface FleetRun extends AsyncDisposable {
  readonly output: string
  readonly redis: string
  enqueue(): Promise<void>
  /** Time until all shards exist. */
  finished(): Promise<void>
  /**
   * @throws Error unless every document has one row, with exactly the fake's vector for its text.
   */
  check(): Promise<void>
}

/** Plans `documents` texts in an existing folder. */
export async function openRun(
  folder: string,
  { documents, documentsPerShard }: { readonly documents: number; readonly documentsPerShard: number },
): Promise<FleetRun> {
  await using parts = new AsyncDisposableStack()
  const output = join(folder, 'vectors')
  const source = join(folder, 'corpus.jsonl')
  const lines = Array.from({ length: documents }, (_, i) => JSON.stringify({ id: `${i}`, text: textOf(i) }))
  await writeFile(source, `${lines.join('\n')}\n`)
  const redis = parts.use(await startRedis())
  const corpus = parts.use(await openCorpus(source, {}))
  const store = parts.use(await openStore(output, { create: true }))
  const queue = parts.use(await openQueue(redis.url))
  const planned = await planRun(corpus, { model: MODEL, prompt: '', truncate: true, documentsPerShard })
  const { plan } = await recordPlan(store, planned)
  const all = parts.move()

  return {
    output,
    redis: redis.url,
    async enqueue() {
      await enqueueMissing(queue, store, plan, await shardsPresent(store, plan))
    },
    async finished() {
      while (countPresent(await shardsPresent(store, plan)) < plan.shards) await wait(100)
    },
    async check() {
      const rows = new Uint8Array(documents)
      for (let shard = 0; shard < plan.shards; shard++) {
        for await (const { ids, vectors } of readShard(store, shardKey(plan.run, shard, plan.shards))) {
          for (const [row, id] of ids.entries()) {
            const expected = hashVector(textOf(Number(id)), { dimensions: DIMENSIONS })
            const got = vectors.subarray(row * DIMENSIONS, (row + 1) * DIMENSIONS)
            if (expected.some((value, d) => value !== got[d])) throw new Error(`the vector of ${id} is wrong`)
            rows[Number(id)] = (rows[Number(id)] ?? 0) + 1
          }
        }
      }
      const wrong = rows.findIndex(times => times !== 1)
      if (wrong >= 0) throw new Error(`document ${wrong} has ${rows[wrong]} rows`)
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}
