import { ReembedError } from '@reembed/shared'
import { afterEach, expect, test } from 'vitest'
import { observeProcess } from '../src/metrics/process.ts'
import { createRegistry } from '../src/metrics/registry.ts'
import { type MetricsServer, serveMetrics } from '../src/metrics/server.ts'

let server: MetricsServer | undefined
afterEach(async () => {
  await server?.[Symbol.asyncDispose]()
  server = undefined
})

const linesOf = async (registry: ReturnType<typeof createRegistry>): Promise<string[]> =>
  (await registry.render()).split('\n').filter(line => line !== '' && !line.startsWith('#'))

test('a counter starts at 0 for each known label value, so that the first event is an increase', async () => {
  const registry = createRegistry()
  const jobs = registry.counter('jobs_total', 'Jobs.', { outcome: ['done', 'failed'] })
  jobs.add(2, { outcome: 'failed' })
  expect(await linesOf(registry)).toEqual(['jobs_total{outcome="done"} 0', 'jobs_total{outcome="failed"} 2'])
})

test('label values beyond the bound, a list or a number, are counted as other', async () => {
  const registry = createRegistry()
  const byValue = registry.counter('a_total', 'A.', { code: ['x'] })
  byValue.add(1, { code: 'unknown' })
  const byNumber = registry.gauge('b', 'B.', { run: 2 })
  for (const run of ['one', 'two', 'three', 'four']) byNumber.set(1, { run })
  expect(await linesOf(registry)).toEqual([
    'a_total{code="x"} 0',
    'a_total{code="other"} 1',
    'b{run="one"} 1',
    'b{run="two"} 1',
    'b{run="other"} 1',
  ])
  byNumber.clear()
  byNumber.set(1, { run: 'five' })
  expect((await linesOf(registry)).at(-1)).toBe('b{run="five"} 1')
})

test('a histogram counts each value in every bucket whose bound is at or above it', async () => {
  const registry = createRegistry()
  const seconds = registry.histogram('s', 'S.', [1, 2])
  for (const value of [0.5, 1, 1.5, 7]) seconds.observe(value)
  expect(await linesOf(registry)).toEqual([
    's_bucket{le="1"} 2',
    's_bucket{le="2"} 3',
    's_bucket{le="+Inf"} 4',
    's_sum 10',
    's_count 4',
  ])
})

test('label values are escaped', async () => {
  const registry = createRegistry()
  registry.gauge('g', 'G.', { run: 5 }).set(1, { run: 'a"} 1\nevil\\' })
  expect(await linesOf(registry)).toEqual(['g{run="a\\"} 1\\nevil\\\\"} 1'])
})

test('a collector that fails does not stop the other collectors', async () => {
  const registry = createRegistry()
  const gauge = registry.gauge('g', 'G.', {})
  registry.collect(() => {
    throw new Error('no')
  })
  registry.collect(() => gauge.set(3, {}))
  expect(await linesOf(registry)).toEqual(['g 3'])
})

test('process metrics report CPU time, memory and event loop lag', async () => {
  const registry = createRegistry()
  observeProcess(registry, '1.2.3')
  const values = new Map((await linesOf(registry)).map(line => line.split(' ') as [string, string]))
  expect(Number(values.get('process_resident_memory_bytes'))).toBeGreaterThan(10e6)
  expect(Number(values.get('process_cpu_seconds_total'))).toBeGreaterThan(0)
  // The first timer callback after a scrape starts the interval.
  await new Promise(resolve => setTimeout(resolve, 50))
  const before = performance.now()
  while (performance.now() - before < 200);
  await new Promise(resolve => setTimeout(resolve, 50))
  const after = new Map((await linesOf(registry)).map(line => line.split(' ') as [string, string]))
  expect(Number(after.get('reembed_event_loop_lag_seconds{stat="max"}'))).toBeGreaterThan(0.1)
  expect(after.get(`reembed_build_info{version="1.2.3",node="${process.versions.node}"}`)).toBe('1')
})

test('serveMetrics refuses an address other than loopback without a token, and names the setting', async () => {
  const registry = createRegistry()
  const start = serveMetrics({ registry, listen: '0.0.0.0:0', notReadyReason: () => null })
  await expect(start).rejects.toThrow(ReembedError)
  await expect(start).rejects.toThrow(/0\.0\.0\.0:0 would be open to other machines: set a token/)
  await expect(serveMetrics({ registry, listen: 'here', notReadyReason: () => null })).rejects.toThrow(
    /'here' is not a listen address/,
  )
})

test('/metrics requires the token, and /live and /ready do not, when a token is set', async () => {
  const registry = createRegistry()
  let reason: string | null = 'draining'
  server = await serveMetrics({
    registry,
    listen: '127.0.0.1:0',
    token: 's3cret',
    notReadyReason: () => reason,
  })
  const status = async (path: string, authorization?: string): Promise<number> =>
    (await fetch(`${server?.url}${path}`, authorization ? { headers: { authorization } } : {})).status
  expect(await status('/metrics')).toBe(401)
  expect(await status('/metrics', 'Bearer wrong')).toBe(401)
  expect(await status('/metrics', 'Bearer s3cret')).toBe(200)
  expect(await status('/live')).toBe(200)
  expect(await status('/ready')).toBe(503)
  reason = null
  expect(await status('/ready')).toBe(200)
  expect(await status('/')).toBe(404)
})

test('serveMetrics fails with USAGE when the port is in use', async () => {
  const registry = createRegistry()
  server = await serveMetrics({ registry, listen: '0', notReadyReason: () => null })
  const { port } = new URL(server.url)
  await expect(serveMetrics({ registry, listen: port, notReadyReason: () => null })).rejects.toThrow(
    new RegExp(`cannot listen on 127.0.0.1:${port} \\(EADDRINUSE\\)`),
  )
})
