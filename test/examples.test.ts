// The programs of examples/ as processes of their own, against a real Redis, a local folder and a
// fake TEI.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePort, type LocalRedis, startRedis } from '@reembed/local'
import { type FakeTei, startFakeTei } from '@reembed/testing'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { temporaryFolder } from './parts/cli.ts'

const EXAMPLES = fileURLToPath(new URL('../examples/', import.meta.url))
const DOCUMENTS = 300

const stack = new AsyncDisposableStack()
let redis: LocalRedis
let tei: FakeTei
let root: string
let env: Record<string, string>

beforeAll(async () => {
  root = stack.use(await temporaryFolder()).path
  redis = stack.use(await startRedis())
  tei = stack.use(await startFakeTei())
  env = { SOURCE: join(root, 'docs'), OUTPUT: join(root, 'vectors'), REDIS_URL: redis.url, ENDPOINT: tei.url }
  await mkdir(join(root, 'docs'))
  await writeDocuments(DOCUMENTS)
})
afterAll(() => stack.disposeAsync())

const writeDocuments = (count: number): Promise<void> =>
  writeFile(
    join(root, 'docs', 'docs.jsonl'),
    Array.from({ length: count }, (_, i) => `${JSON.stringify({ id: `d${i}`, text: `text ${i}` })}\n`).join(
      '',
    ),
  )

interface Program extends AsyncDisposable {
  readonly child: ChildProcess
  stdout(): string
  /** Resolves with the exit code; rejects, with what it printed, for another than 0. */
  readonly ended: Promise<void>
}

function start(name: string, more: Record<string, string> = {}): Program {
  const child = spawn(process.execPath, ['--conditions=@reembed/source', join(EXAMPLES, name)], {
    env: { PATH: process.env.PATH, NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE, ...env, ...more },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', data => {
    stdout += data
  })
  child.stderr.on('data', data => {
    stderr += data
  })
  const ended = once(child, 'close').then(([code, signal]) => {
    if (code !== 0) throw new Error(`${name} ended with ${code ?? signal}:\n${stdout}${stderr}`)
  })
  ended.catch(() => {})
  return {
    child,
    stdout: () => stdout,
    ended,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await ended.catch(() => {})
    },
  }
}

async function run(name: string, more: Record<string, string> = {}): Promise<string[]> {
  await using program = start(name, more)
  await program.ended
  return program.stdout().trimEnd().split('\n')
}

/** Asks until `accept` returns something; the limit is the test's own. */
const until = <T>(accept: () => Promise<T>): Promise<T> =>
  vi.waitFor(accept, { timeout: 60_000, interval: 100 })

test('a worker process embeds and publishes what a web service has enqueued', async () => {
  const [workerPort, servicePort] = [await freePort(), await freePort()]
  await using worker = start('worker.ts', { PORT: String(workerPort) })
  await using service = start('enqueue-service.ts', { PORT: String(servicePort) })
  const url = `http://127.0.0.1:${servicePort}/runs`
  const post = (source: string): Promise<Response> =>
    fetch(url, { method: 'POST', body: JSON.stringify({ source }) })

  const accepted = await until(() => post(join(root, 'docs')))
  expect(accepted.status).toBe(202)
  const { run: id, created } = (await accepted.json()) as { run: string; created: boolean }
  expect(created).toBe(true)
  await until(async () => {
    const status = await (await fetch(`${url}/${id}`)).json()
    expect(status).toMatchObject({ state: 'published', documents: DOCUMENTS })
  })
  expect((await fetch(`http://127.0.0.1:${workerPort}`)).status).toBe(200)

  const missing = await post(join(root, 'nothing'))
  expect([missing.status, await missing.json()]).toMatchObject([404, { code: 'SOURCE_NOT_FOUND' }])

  for (const { child } of [worker, service]) child.kill('SIGTERM')
  await Promise.all([worker.ended, service.ended])
})

test('a program reads the published vectors into one Float32Array', async () => {
  const [summary, nearest] = await run('float32array.ts')
  expect(summary).toMatch(new RegExp(`^${DOCUMENTS} vectors of \\d+ dimensions by `))
  expect(nearest).toBe('1.0000 d0')
})

test('DuckDB loads the published shards and ranks by cosine similarity', async () => {
  expect((await run('duckdb.ts'))[0]).toBe('1.0000 d0')
})

test('a schedule enqueues a run for a changed corpus and none for the same', async () => {
  await using program = start('schedule.ts', { EVERY_MS: '200' })
  const lines = (): string[] => program.stdout().trimEnd().split('\n')
  await until(async () =>
    expect(lines().filter(line => line.endsWith('unchanged')).length).toBeGreaterThan(1),
  )
  await writeDocuments(DOCUMENTS + 10)
  await until(async () => expect(lines().at(-1)).toMatch(/ jobs enqueued$/))
  program.child.kill('SIGTERM')
  await program.ended
})

test('fields are mapped by a template and carried as columns, by one process that does everything', async () => {
  const products = join(root, 'products')
  await mkdir(products)
  const product = { sku: 'A-1', title: 'Kettle', body: 'Boils water.', shop: { lang: 'en' }, year: 2019 }
  await writeFile(join(products, 'products.jsonl'), `${JSON.stringify(product)}\n`)
  const lines = await run('field-mapping.ts', { SOURCE: products, OUTPUT: join(root, 'product-vectors') })
  expect(lines.at(-1)).toMatch(/^A-1 .*"en".*2019/)
  expect(lines.at(-1)).toContain('"Kettle\\n\\nBoils water."')
})
