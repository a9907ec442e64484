// A run that is planned and enqueued but has no worker yet: a corpus, Redis, and an endpoint behind
// a gate.

import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis } from '@reembed/local'
import { expect } from 'vitest'
import { documents, type Running, reembed, start, temporaryFolder, writeJsonl } from './cli.ts'
import { type Gate, openGate } from './gate.ts'

export interface EnqueuedRun {
  readonly run: string
  readonly shards: number
  readonly redis: LocalRedis
  readonly gate: Gate
  /** The output. */
  readonly to: string
  /** Starts a worker process for it. */
  worker(): Running
}

/** Plans and enqueues a run of at least that many shards, five documents each. */
export async function enqueueRun(
  stack: AsyncDisposableStack,
  shards: number,
  output?: string,
  env: Record<string, string> = {},
): Promise<EnqueuedRun> {
  const folder = stack.use(await temporaryFolder())
  const redis = stack.use(await startRedis())
  const tei = stack.use(await serveTei({ engine: createHashEngine({ dimensions: 8 }) }))
  const gate = stack.use(await openGate(tei.url))
  const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(5 * shards))
  const to = output ?? join(folder.path, 'vectors')
  const given = ['--output', to, '--endpoint', gate.url, '--redis', redis.url]
  const command = await reembed(
    ['enqueue', '--source', source, '--documents-per-shard', '5', '--json', ...given],
    env,
  )
  const { run, shards: planned } = JSON.parse(command.stdout)
  expect(planned).toBeGreaterThanOrEqual(shards)
  return {
    run,
    shards: planned,
    redis,
    gate,
    to,
    worker: () => start(['worker', '--sources', source, ...given], env),
  }
}
