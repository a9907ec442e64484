// Schedules with real processes, a real Redis and a fake TEI whose model changes: one run per due
// tick.

import { appendFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type LocalRedis, startRedis } from '@reembed/local'
import { readCurrent, readSeq } from '@reembed/protocol'
import { ticksSinceKey } from '@reembed/shared'
import { openStore, type Store } from '@reembed/store'
import { type FakeTei, startFakeTei } from '@reembed/testing'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { onPath, tool } from './infra/parts/tools.ts'
import { documents, reembed, start, temporaryFolder, writeJsonl } from './parts/cli.ts'

let redis: LocalRedis
let tei: FakeTei
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let store: Store
const env = { REEMBED_HOOK_SECRET: 'a-secret-of-the-webhook' }

beforeEach(async () => {
  folder = await temporaryFolder()
  ;[tei, redis] = await Promise.all([startFakeTei({ dimensions: 8, sha: 'one' }), startRedis()])
  await mkdir(join(folder.path, 'corpus'))
  await writeJsonl(join(folder.path, 'corpus', 'a.jsonl'), documents(200))
  await writeFile(
    join(folder.path, 'reembed.yaml'),
    `version: 1
source: { uri: corpus }
output: { uri: vectors }
endpoint: { url: ${tei.url} }
queue: { redis: ${redis.url} }
schedules:
`,
  )
  store = await openStore(join(folder.path, 'vectors'), { create: true })
})
afterEach(async () => {
  for (const part of [store, tei, redis, folder]) await part[Symbol.asyncDispose]()
})

const command = (...args: string[]) => reembed(args, env, folder.path)
const tick = async () => JSON.parse((await command('schedule', 'tick', '--json')).stdout)

/** Adds schedules whose one tick of this year is due, as if a producer had checked them before. */
async function addDue(schedules: Readonly<Record<string, string>>): Promise<void> {
  const lines = Object.entries(schedules).map(
    ([name, when]) => `  - { name: ${name}, cron: 0 0 1 1 *, when: ${when} }\n`,
  )
  await appendFile(join(folder.path, 'reembed.yaml'), lines.join(''))
  const since = Buffer.from('{"format":1,"since":"2020-01-01T00:00:00.000Z"}\n')
  for (const name of Object.keys(schedules)) await store.putIfAbsent(ticksSinceKey(name), since)
}

test('three processes that check at the same moment plan a due tick once, also after Redis was emptied', async () => {
  await addDue({ yearly: 'always' })
  const checks = (await Promise.all([tick(), tick(), tick()])).flat()
  expect(checks.filter(({ status }) => status === 'planned')).toHaveLength(1)
  expect(checks.filter(({ status }) => status === 'claimed' || status === 'not_due')).toHaveLength(2)
  expect(await readSeq(store)).toHaveLength(1)

  const client = new Redis(redis.url)
  await client.flushall()
  await client.quit()
  expect(await tick()).toEqual([{ schedule: 'yearly', status: 'not_due' }])
  expect(await readSeq(store)).toHaveLength(1)

  const { code, stdout } = await command('schedule', 'ls', '--json')
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject([
    { name: 'yearly', cron: '0 0 1 1 *', timezone: 'UTC', when: 'always', last: { status: 'planned' } },
  ])
})

test('model_changed and source_changed plan a run after a change, and name the newest run otherwise', async () => {
  await addDue({ 'model-a': 'model_changed', 'source-a': 'source_changed', 'always-a': 'always' })
  expect((await command('run')).code).toBe(0)
  const first = (await readCurrent(store))?.run
  expect(await tick()).toMatchObject([
    { schedule: 'model-a', status: 'unchanged', run: first },
    { schedule: 'source-a', status: 'unchanged', run: first },
    { schedule: 'always-a', status: 'already_finished', run: first },
  ])

  await tei.stop()
  await tei.start({ sha: 'two' })
  await addDue({ 'source-b': 'source_changed', 'model-b': 'model_changed' })
  const [, , , sourceB, modelB] = await tick()
  expect(sourceB).toMatchObject({ status: 'unchanged', run: first })
  expect(modelB).toMatchObject({ status: 'planned' })
  expect(modelB.run).not.toBe(first)

  await writeJsonl(join(folder.path, 'corpus', 'b.jsonl'), [{ id: 'new', text: 'a new document' }])
  await addDue({ 'source-c': 'source_changed' })
  expect((await tick()).at(-1)).toMatchObject({ schedule: 'source-c', status: 'planned' })
})

test('a producer plans due ticks, accepts a webhook with the secret, and exits on SIGTERM; workers complete the runs', async () => {
  await addDue({ yearly: 'always' })
  const worker = start(['worker'], env, folder.path)
  const producer = start(
    ['producer', '--hooks', '0', '--hook-quiet-seconds', '1', '--metrics', '0'],
    env,
    folder.path,
  )
  const { url } = JSON.parse(await producer.line(/hooks served/))
  const { url: metrics } = JSON.parse(await producer.line(/metrics served/))
  const { run } = JSON.parse(await worker.line(/"state":"published"/))
  expect(await readCurrent(store)).toMatchObject({ run, version: 1 })

  await tei.stop()
  await tei.start({ sha: 'two' })
  const hook = (secret: string) =>
    fetch(`${url}/hooks/generic`, { method: 'POST', headers: { authorization: `Bearer ${secret}` } })
  expect((await hook('wrong')).status).toBe(401)
  expect((await hook(env.REEMBED_HOOK_SECRET)).status).toBe(202)
  const hooked = JSON.parse(await producer.line(/hook: planned/))
  expect(hooked.run).not.toBe(run)

  const text = await (await fetch(`${metrics}/metrics`)).text()
  expect(text).toContain('reembed_schedule_ticks_total{schedule="yearly",status="planned"} 1\n')
  expect(text).toContain('reembed_hooks_total{kind="generic"} 1\n')
  expect(text).toContain('reembed_hook_plans_total{status="planned"} 1\n')
  const nextYear = Date.UTC(new Date().getUTCFullYear() + 1, 0, 1) / 1000
  expect(text).toContain(`reembed_schedule_next_tick_timestamp_seconds{schedule="yearly"} ${nextYear}\n`)
  expect(text).toMatch(/^process_resident_memory_bytes \d/m)
  expect(await (await fetch(`${metrics}/ready`)).text()).toBe('ready\n')
  if (onPath('promtool')) {
    const { status, stdout, stderr } = tool('promtool', ['check', 'metrics'], { input: text })
    expect([status, `${stdout}${stderr}`]).toEqual([0, ''])
  }

  for (const { child } of [worker, producer]) child.kill('SIGTERM')
  const [ended] = await Promise.all([producer.finished, worker.finished])
  expect(ended.code, ended.stderr).toBe(0)
  expect(ended.stderr).not.toContain(env.REEMBED_HOOK_SECRET)
})
