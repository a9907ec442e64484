// The dashboards: the committed files equal the source, every query parses and names only existing
// metrics and label values, and a real Prometheus that scrapes a real run answers each query.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parser } from '@prometheus-io/lezer-promql'
import { dashboards } from '@reembed/infra/dashboards'
import { createHashEngine, type LocalRedis, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { RUN_STATES, STATE_REASONS } from '@reembed/producer'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { parse } from 'yaml'
import { documents, flags, type Running, reembed, start, temporaryFolder, writeJsonl } from '../parts/cli.ts'
import { type Manifest, repository } from './parts/chart.ts'
import { freePort } from './parts/redis-server.ts'
import { onPath } from './parts/tools.ts'

const files = join(repository, 'infra/helm/reembed/files')
const rules: Manifest[] = parse(await readFile(join(files, 'rules.yaml'), 'utf8')).groups[0].rules
const panels: Manifest[] = Object.values(dashboards).flatMap((one: Manifest) => one.panels)

/** A dashboard query with its variables replaced. */
const filled = (expr: string): string =>
  expr.replaceAll('$__rate_interval', '30s').replace(/\$(price_per_replica_hour|replicas)/g, '1')

/** The selections by label of a query: metric, label, and the values that it accepts. */
function selectionsOf(expr: string): { metric: string; label: string; values: string[] }[] {
  return Array.from(expr.matchAll(/(\w+)\{([^}]*)\}/g), ([, metric = '', matchers = '']) =>
    Array.from(matchers.matchAll(/(\w+)=(~?)"([^"]*)"/g), ([, label = '', regexp, value = '']) => ({
      metric,
      label,
      values: regexp ? value.split('|') : [value],
    })),
  ).flat()
}

/** The metrics that a query names; throws where it does not parse. */
function metricsOf(expr: string): string[] {
  const names: string[] = []
  parser.parse(expr).iterate({
    enter({ type, from, to }) {
      if (type.isError) throw new SyntaxError(`at ${from}: ${expr}`)
      if (type.name === 'Identifier' && expr[to] !== '(') names.push(expr.slice(from, to))
    },
  })
  return names
}

const parts: AsyncDisposable[] = []
const processes: Running[] = []
let prometheus: ChildProcess | undefined
let promUrl = ''
let urls: { worker: string; exporter: string; tei: string }
let redis: LocalRedis
let tei: TeiServer

beforeAll(async () => {
  const place = await temporaryFolder()
  parts.push(place)
  ;[redis, tei] = await Promise.all([startRedis(), serveTei({ engine: createHashEngine({ dimensions: 8 }) })])
  parts.push(redis, tei)
  const out = join(place.path, 'out')
  await writeJsonl(join(place.path, 'corpus.jsonl'), [...documents(20_000), { id: 'empty', text: '' }])
  const given = ['--output', out, '--redis', redis.url]
  const made = await reembed([
    'enqueue',
    ...flags({ source: join(place.path, 'corpus.jsonl'), 'documents-per-shard': '200', endpoint: tei.url }),
    ...given,
  ])
  expect(made.code).toBe(0)
  const exporting = start(['exporter', ...given, '--metrics', '0'])
  const working = start(['worker', ...given, '--endpoint', tei.url, '--metrics', '0'])
  processes.push(exporting, working)
  const served = async (running: Running): Promise<string> =>
    JSON.parse(await running.line(/metrics served/)).url
  urls = { worker: await served(working), exporter: await served(exporting), tei: tei.url }
  if (onPath('prometheus')) {
    const target = (url: string): string => JSON.stringify([new URL(url).host])
    const jobs = Object.entries(urls).map(
      ([job, url]) => `{ job_name: reembed-${job}, static_configs: [{ targets: ${target(url)} }] }`,
    )
    await writeFile(
      join(place.path, 'prometheus.yml'),
      `global: { scrape_interval: 1s, scrape_timeout: 1s }\nscrape_configs: [${jobs.join(', ')}]\n`,
    )
    const port = await freePort()
    promUrl = `http://127.0.0.1:${port}`
    prometheus = spawn(
      'prometheus',
      [
        `--config.file=${join(place.path, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(place.path, 'tsdb')}`,
        `--web.listen-address=127.0.0.1:${port}`,
        '--log.level=error',
      ],
      { stdio: 'ignore' },
    )
    await vi.waitFor(async () => expect((await fetch(`${promUrl}/-/ready`)).ok).toBe(true), {
      timeout: 30_000,
    })
  }
  await working.line(/"state":"published"/)
})
afterAll(async () => {
  for (const { child } of processes) child.kill('SIGTERM')
  await Promise.all(processes.map(({ finished }) => finished))
  if (prometheus) {
    const gone = once(prometheus, 'exit')
    prometheus.kill('SIGKILL')
    await gone
  }
  for (const part of parts.reverse()) await part[Symbol.asyncDispose]()
})

test('the dashboard files in the chart equal the output of their source', async () => {
  for (const [name, dashboard] of Object.entries(dashboards)) {
    expect(JSON.parse(await readFile(join(files, 'dashboards', name), 'utf8'))).toEqual(dashboard)
  }
})

test('every panel has a title, a description and its own place in the grid', () => {
  for (const dashboard of Object.values<Manifest>(dashboards)) {
    const places = dashboard.panels.map(({ gridPos }: Manifest) => `${gridPos.x},${gridPos.y}`)
    expect(new Set(places).size).toBe(places.length)
    for (const { title, description, targets } of dashboard.panels) {
      expect([title.length, description.length, targets.length].every(length => length > 0)).toBe(true)
    }
  }
})

test('every query and every alert parses, and names only existing metrics and label values', async () => {
  const known = new Set<string>(['up'])
  const series: string[] = []
  for (const url of Object.values(urls)) {
    const text = await (await fetch(`${url}/metrics`)).text()
    series.push(...text.split('\n'))
    for (const [, name = '', type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
      known.add(name)
      if (type === 'histogram') for (const part of ['bucket', 'sum', 'count']) known.add(`${name}_${part}`)
    }
  }
  const exprs = [
    ...panels.flatMap(({ targets }) => targets.map(({ expr }: Manifest) => filled(expr))),
    ...rules.map(({ expr }) => expr),
  ]
  expect(exprs.length).toBeGreaterThan(50)
  for (const expr of exprs) {
    const names = metricsOf(expr)
    expect(names.length).toBeGreaterThan(0)
    expect([expr, names.filter(name => !known.has(name))]).toEqual([expr, []])
    for (const { metric, label, values } of selectionsOf(expr)) {
      // Prometheus adds `job` when it scrapes.
      if (label === 'job') continue
      // Only runs that are in a state have its series.
      const possible: readonly string[] =
        metric === 'reembed_run_state' ? [...RUN_STATES, ...STATE_REASONS] : []
      const missing = values.filter(
        value =>
          !possible.includes(value) &&
          !series.some(line => line.startsWith(`${metric}{`) && line.includes(`${label}="${value}"`)),
      )
      expect([expr, missing]).toEqual([expr, []])
    }
  }
  expect(selectionsOf('sum(a{state=~"wait|active",job="x"})')).toEqual([
    { metric: 'a', label: 'state', values: ['wait', 'active'] },
    { metric: 'a', label: 'job', values: ['x'] },
  ])
  expect(() => metricsOf('sum(rate(reembed_texts_total[5m])')).toThrow(SyntaxError)
})

test.skipIf(!onPath('prometheus'))(
  `a real Prometheus answers every query during a real run${onPath('prometheus') ? '' : ' (skipped: no prometheus on PATH)'}`,
  async () => {
    const ask = async (query: string): Promise<unknown[]> => {
      const reply = await fetch(`${promUrl}/api/v1/query?query=${encodeURIComponent(query)}`)
      const { status, data, error } = (await reply.json()) as {
        status: string
        data: { result: unknown[] }
        error?: string
      }
      expect([query, status, error]).toEqual([query, 'success', undefined])
      return data.result
    }
    await expect
      .poll(() => ask('count_over_time(reembed_rejects_total[1m]) > 2'), { timeout: 60_000, interval: 500 })
      .toHaveLength(1)
    const silent: string[] = []
    for (const { title, targets } of panels) {
      for (const { expr } of targets) if ((await ask(filled(expr))).length === 0) silent.push(title)
    }
    expect(silent).toEqual([])
    for (const { expr } of rules) await ask(expr)
  },
)
