// /metrics of real worker and exporter processes during a whole run.

import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { documents, flags, type Running, reembed, start, temporaryFolder, writeJsonl } from '../parts/cli.ts'
import { onPath, tool } from './parts/tools.ts'

const COUNT = 500
const parts: AsyncDisposable[] = []
const processes: Running[] = []
let redis: LocalRedis
let tei: TeiServer
let folder: string
let worker: string
let exporter: string

/** The URL of the metrics server, from the log of a process. */
const served = async (running: Running): Promise<string> =>
  JSON.parse(await running.line(/metrics served/)).url

async function scrape(url: string): Promise<Map<string, number>> {
  const reply = await fetch(`${url}/metrics`)
  expect(reply.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  const lines = (await reply.text()).split('\n').filter(line => line !== '' && !line.startsWith('#'))
  return new Map(lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]))
}

beforeAll(async () => {
  const place = await temporaryFolder()
  parts.push(place)
  folder = place.path
  ;[redis, tei] = await Promise.all([startRedis(), serveTei({ engine: createHashEngine({ dimensions: 8 }) })])
  parts.push(redis, tei)
  await writeJsonl(join(folder, 'corpus.jsonl'), [...documents(COUNT - 1), { id: 'none', text: '' }])
  const given = ['--output', join(folder, 'out'), '--redis', redis.url]
  const enqueued = await reembed([
    'enqueue',
    ...flags({ source: join(folder, 'corpus.jsonl'), 'documents-per-shard': '100', endpoint: tei.url }),
    ...given,
  ])
  expect(enqueued.stderr).not.toContain('reembed:')
  // Without model records in the store, the worker measures the model itself, and its requests are
  // counted.
  await rm(join(folder, 'out', 'models'), { recursive: true })
  const exporting = start(['exporter', ...given, '--metrics', '0'])
  processes.push(exporting)
  exporter = await served(exporting)
})
afterAll(async () => {
  // Redis has stopped, so the processes cannot drain.
  for (const { child } of processes) child.kill('SIGKILL')
  await Promise.all(processes.map(({ finished }) => finished))
  for (const part of parts.reverse()) await part[Symbol.asyncDispose]()
})

test('the exporter is ready before anything scrapes it', async () => {
  expect(await (await fetch(`${exporter}/ready`)).text()).toBe('ready\n')
})

test('the exporter reports the backlog while no worker runs', async () => {
  await expect
    .poll(async () => (await scrape(exporter)).get('reembed_queue_jobs{state="ready"}'))
    .toBeGreaterThan(3)
  const metrics = await scrape(exporter)
  expect(metrics.get('reembed_workers')).toBe(0)
  expect(metrics.get('reembed_queue_backlog')).toBe(metrics.get('reembed_queue_jobs{state="ready"}'))
  expect(metrics.get('reembed_redis_up')).toBe(1)
  expect(metrics.get('reembed_redis_noeviction')).toBe(1)
  expect(metrics.get('reembed_queue_oldest_waiting_seconds')).toBeGreaterThan(0)
  const done = [...metrics].filter(([name]) => name.startsWith('reembed_run_shards_done{'))
  expect(done.map(([, value]) => value)).toEqual([0])
})

test('a worker counts shards, documents, rejects, texts and requests exactly', async () => {
  const running = start([
    'worker',
    ...flags({ output: join(folder, 'out'), redis: redis.url, endpoint: tei.url, metrics: '0' }),
  ])
  processes.push(running)
  worker = await served(running)
  await running.line(/"state":"published"/)
  const metrics = await scrape(worker)
  const shards = metrics.get('reembed_shards_total{outcome="put"}') ?? 0
  expect(shards).toBeGreaterThan(3)
  expect(metrics.get('reembed_documents_total')).toBe(COUNT)
  expect(metrics.get('reembed_rejects_total{reason="empty_text"}')).toBe(1)
  // Canary texts, which verify the model, are counted as texts.
  const texts = metrics.get('reembed_texts_total') ?? 0
  expect(texts).toBeGreaterThanOrEqual(COUNT - 1)
  expect(texts).toBeLessThan(COUNT + 50)
  expect(metrics.get('reembed_jobs_total{outcome="done"}')).toBe(shards)
  expect(metrics.get('reembed_jobs_active')).toBe(0)
  expect(metrics.get('reembed_tokens_total')).toBeGreaterThan(COUNT)
  expect(metrics.get('reembed_request_duration_seconds_count')).toBe(
    metrics.get('reembed_requests_total{outcome="ok"}'),
  )
  expect(metrics.get('reembed_limiter_limit_inputs')).toBeGreaterThan(0)
  expect(metrics.get('reembed_limiter_inflight_inputs')).toBe(0)
  expect(await (await fetch(`${worker}/ready`)).text()).toBe('ready\n')
  expect(await readdir(join(folder, 'out', 'models'))).toHaveLength(1)
  const seen = await scrape(exporter)
  expect(seen.get('reembed_workers')).toBe(1)
  expect(seen.get('reembed_queue_jobs{state="ready"}')).toBe(0)
})

test.skipIf(!onPath('promtool'))(
  `promtool accepts the metrics of worker and exporter${onPath('promtool') ? '' : ' (skipped: no promtool on PATH)'}`,
  async () => {
    for (const url of [worker, exporter]) {
      const text = await (await fetch(`${url}/metrics`)).text()
      const { status, stdout, stderr } = tool('promtool', ['check', 'metrics'], { input: text })
      expect(`${stdout}${stderr}`).toBe('')
      expect(status).toBe(0)
    }
  },
)

test('when Redis stops, the exporter reports it at once and is not ready', async () => {
  await redis[Symbol.asyncDispose]()
  const metrics = await scrape(exporter)
  expect(metrics.get('reembed_redis_up')).toBe(0)
  expect(metrics.has('reembed_queue_jobs{state="ready"}')).toBe(false)
  const ready = await fetch(`${exporter}/ready`)
  expect([ready.status, await ready.text()]).toEqual([503, expect.stringMatching(/no Redis answers at/)])
})
