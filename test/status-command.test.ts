// `reembed status --watch` and `reembed versions` as a person uses them.

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { createReembed } from 'reembed'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { documents, flags, start, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'

let redis: LocalRedis
let tei: TeiServer
let folder: AsyncDisposable & { readonly path: string }
let output: string
let source: string

beforeAll(async () => {
  folder = await temporaryFolder()
  ;[redis, tei] = await Promise.all([startRedis(), serveTei({ engine: createHashEngine({ dimensions: 8 }) })])
  output = join(folder.path, 'vectors')
  source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(40))
})
afterAll(async () => {
  for (const part of [tei, redis, folder]) await part[Symbol.asyncDispose]()
})

const client = () => createReembed({ output, redis: redis.url, endpoint: tei.url })

test('status --watch shows a run of another process in each state, and ends when it is published', async () => {
  await using reembed = client()
  const { run } = await reembed.enqueue(source)
  const watching = start(['status', run, '--watch', '--json', ...flags({ output, redis: redis.url })])
  let shown = ''
  const waits = Promise.withResolvers<void>()
  watching.child.stdout?.on('data', data => {
    shown += data
    if (shown.includes('no_worker')) waits.resolve()
  })
  await waits.promise
  await using _ = await reembed.startWorker()
  const { code, stdout } = await watching.finished
  expect(code).toBe(0)
  const states = stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  expect(states[0]).toMatchObject({ run, state: 'waiting', reason: 'no_worker', shardsDone: 0 })
  expect(states.at(-1)).toMatchObject({ run, state: 'published', version: 1, totals: { rows: 40 } })
  // Each description once.
  expect(new Set(stdout.trimEnd().split('\n')).size).toBe(states.length)
})

test('status --watch of a run that waits ends with Ctrl-C, and exit code 130', async () => {
  const other = join(folder.path, 'other')
  await using reembed = createReembed({ output: other, redis: redis.url, endpoint: tei.url })
  await reembed.enqueue(source)
  const watching = start(['status', '--watch', ...flags({ output: other, redis: redis.url })])
  const waits = Promise.withResolvers<void>()
  watching.child.stdout?.on('data', data => String(data).includes('no worker serves') && waits.resolve())
  await waits.promise
  watching.child.kill('SIGINT')
  expect(await watching.finished).toMatchObject({
    code: 130,
    stderr: expect.stringMatching(/stopped watching the run/),
  })
  await rm(other, { recursive: true })
})

test('versions lists each version with its run, time, actor, reason, and what it was published despite', async () => {
  await using reembed = client()
  const first = (await reembed.status()).run
  const second = await writeJsonl(join(folder.path, 'second.jsonl'), documents(20))
  {
    await using _ = await reembed.startWorker()
    await reembed.wait((await reembed.enqueue(second)).run)
  }
  const reason = ['--reason', 'answers got worse']
  expect(await inProcess(['rollback', ...reason, ...flags({ output })])).toMatchObject({ code: 0 })
  const { stdout, code } = await inProcess(['versions', ...flags({ output })])
  expect(code).toBe(0)
  expect(stdout).toMatch(/\b3\b[\s\S]*answers got worse[\s\S]*\b2\b[\s\S]*\b1\b/)
  expect(stdout).toContain(first.slice(0, 8))
  const json = JSON.parse((await inProcess(['versions', '--json', ...flags({ output })])).stdout)
  expect(json).toMatchObject([
    { version: 3, run: first, action: 'rollback', reason: 'answers got worse', by: expect.any(String) },
    { version: 2, action: 'publish', by: 'sweeper', despite: [] },
    { version: 1, run: first, action: 'publish', at: expect.stringMatching(/^20\d\d-/) },
  ])
})
