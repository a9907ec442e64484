// Where the commands serve pages: a run without a free port continues without its page, the
// exporter serves the outputs.

import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { type LocalRedis, startRedis } from '@reembed/local'
import { findRun } from '@reembed/planner'
import { readCurrent, readManifest } from '@reembed/protocol'
import { openStore } from '@reembed/store'
import { type FakeTei, startFakeTei } from '@reembed/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { documents, flags, reembed, start, temporaryFolder, writeJsonl } from '../parts/cli.ts'

const READING = 'opens-the-pages'
const ACTING = 'lets-a-person-act'

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let redis: LocalRedis
let tei: FakeTei
let output: string

beforeAll(async () => {
  folder = await temporaryFolder()
  ;[tei, redis] = await Promise.all([startFakeTei({ dimensions: 8 }), startRedis()])
  output = join(folder.path, 'vectors')
  await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(40))
})
afterAll(async () => {
  for (const part of [tei, redis, folder]) await part[Symbol.asyncDispose]()
})

const run = (...more: string[]): string[] => [
  'run',
  ...flags({ output, endpoint: tei.url, redis: redis.url, source: join(folder.path, 'corpus.jsonl') }),
  ...more,
]

test('a run whose page has no free port warns, and is published', async () => {
  await using busy = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => busy.once('listening', resolve))
  const { port } = busy.address() as { port: number }
  const { code, stderr } = await reembed(run(), { REEMBED_CONSOLE: String(port) })
  expect(stderr).toMatch(new RegExp(`warning: this run has no page: cannot listen on 127.0.0.1:${port}`))
  expect(code, stderr).toBe(0)
})

test('the exporter serves the pages with their token, and refuses what the commands refuse', async () => {
  const env = {
    REEMBED_CONSOLE: '127.0.0.1:0',
    REEMBED_CONSOLE_TOKEN: READING,
    REEMBED_CONSOLE_ACTIONS_TOKEN: ACTING,
  }
  const exporter = start(['exporter', ...flags({ output, redis: redis.url, metrics: '0' })], env)
  try {
    const url = /http:[^"]+/.exec(await exporter.line(/pages served/))?.[0] ?? ''
    await using store = await openStore(output)
    const id = await findRun(store, undefined, 'newest')
    expect((await fetch(`${url}/runs/${id}`)).status).toBe(401)
    const headers = { authorization: `Bearer ${READING}` }
    expect(await (await fetch(`${url}/runs/${id}`, { headers })).text()).toContain('as version 1')
    const act = (action: string): Promise<Response> =>
      fetch(`${url}/act`, {
        method: 'POST',
        body: new URLSearchParams({ action, run: id, output: store.url }),
        headers: { authorization: `Bearer ${ACTING}` },
      })
    expect(await (await act('retry_rejects')).text()).toContain(`run ${id} has no rejects`)
    expect(await (await act('pause')).text()).toContain('is finished: there is nothing to stop')
  } finally {
    exporter.child.kill('SIGKILL')
  }
})

test('P-RETRY: an action embeds the rejects of a run again by jobs on the real queue, and the run is published', async () => {
  const own = join(folder.path, 'retried')
  tei.faults.nan = text => text.endsWith(' topic 3')
  const to = ['--output', own, ...flags({ endpoint: tei.url, redis: redis.url })]
  const from = flags({ source: join(folder.path, 'corpus.jsonl'), 'max-rejects': '50%' })
  const first = await reembed(['run', ...to, ...from])
  expect(first.code, first.stderr).toBe(0)
  tei.faults.nan = undefined
  await using store = await openStore(own)
  const run = await findRun(store, undefined, 'newest')

  const env = { REEMBED_CONSOLE_ACTIONS_TOKEN: ACTING }
  const console = start(['console', '--output', own, ...flags({ redis: redis.url, listen: '0' })], env)
  try {
    const url = /http:\S+/.exec(await console.line(/^console +http/))?.[0] ?? ''
    const reply = await fetch(`${url}/act`, {
      method: 'POST',
      body: new URLSearchParams({ action: 'retry_rejects', run, output: store.url }),
      headers: { authorization: `Bearer ${ACTING}` },
    })
    expect(await reply.text()).toMatch(/^its rejects are embedded by run [a-z2-7]+; \d jobs? enqueued\n$/)
    const worker = start(['worker', ...to])
    try {
      await expect.poll(async () => (await readCurrent(store))?.version, { timeout: 60_000 }).toBe(2)
    } finally {
      worker.child.kill('SIGKILL')
    }
    const { run: retried = '' } = (await readCurrent(store)) ?? {}
    expect((await readManifest(store, retried))?.totals).toMatchObject({ documents: 40, rejects: 0 })
    await expect
      .poll(async () => (await fetch(`${url}/runs/${retried}`)).text(), { timeout: 30_000 })
      .toContain('as version 2')
  } finally {
    console.child.kill('SIGKILL')
  }
})

test('where the exporter serves the pages, the card of an output has the next tick of the schedules in its file', async () => {
  const schedules = [{ name: 'nightly', cron: '0 3 * * *', timezone: 'UTC', when: 'source_changed' }]
  await using store = await openStore(output)
  const file = join(folder.path, 'reembed.yaml')
  await writeFile(file, JSON.stringify({ version: 1, output: { uri: store.url }, schedules }))
  const other = join(folder.path, 'other')
  await mkdir(other)
  const args = [
    'exporter',
    '--config',
    file,
    '--output',
    other,
    output,
    ...flags({ redis: redis.url, metrics: '0' }),
  ]
  const exporter = start(args, { REEMBED_CONSOLE: '0' })
  try {
    const url = /http:[^"]+/.exec(await exporter.line(/pages served/))?.[0] ?? ''
    const cards = (await (await fetch(url)).text()).split('<article')
    const cardOf = (folder: string): string | undefined => cards.find(card => card.includes(`>${folder}<`))
    expect(cardOf(store.url)).toMatch(
      /Next run of schedule <b>nightly<\/b>: <time datetime="\d{4}-\d\d-\d\dT03:00/,
    )
    expect(cardOf(other)).not.toContain('Next run')
  } finally {
    exporter.child.kill('SIGKILL')
  }
})
