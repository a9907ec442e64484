// A load by workers as processes of their own. Three are ended by kill -9, one of which was started
// in the place of the first; Redis is emptied once. Into PostgreSQL where it is installed, else
// into the stand-in of Qdrant. Sizes by REEMBED_TEST_LOAD, as in conformance.ts; else 20,000 rows.

import { setTimeout } from 'node:timers/promises'
import { startRedis } from '@reembed/local'
import { putVersion, readLoadedShards, readLoadOrders } from '@reembed/protocol'
import { openQueue } from '@reembed/queue'
import { loadRun, openVectorStore, switchStore } from '@reembed/sinks'
import { openStore } from '@reembed/store'
import { expect, test, vi } from 'vitest'
import { connectRedis } from '../../packages/queue/src/redis-client.ts'
import { makeRun } from '../export/run.ts'
import { type Running, reembed, start, temporaryFolder } from '../parts/cli.ts'
import { lackOfPostgres, startPostgres } from '../parts/postgres.ts'
import { startQdrant } from '../parts/qdrant.ts'
import { bytesOf } from '../shard/parts.ts'

const SHARDS = 50
/** Dimensions of the run that searches use before. */
const EARLIER = 12
const SIZES = (process.env.REEMBED_TEST_LOAD ?? '20000x16').split(',').map(size => {
  const [rows = 0, dimensions = 0] = size.split('x').map(Number)
  return { rows, dimensions }
})

interface Target extends AsyncDisposable {
  readonly url: string
  readonly env: Record<string, string>
  /** The bytes of each vector by id, and the number of rows. */
  read(target: string): Promise<{ readonly rows: number; readonly vectors: ReadonlyMap<string, Buffer> }>
  /** One search: the dimensions of the vectors of its answer. */
  search(name: string): Promise<readonly number[]>
}

async function startTarget(): Promise<Target> {
  if (lackOfPostgres !== undefined) {
    const server = await startQdrant('a-key')
    return {
      url: `qdrant+${server.url}`,
      env: { QDRANT_API_KEY: 'a-key' },
      async read(target) {
        const points = [...(server.collections.get(target)?.points.values() ?? [])]
        return {
          rows: points.length,
          vectors: new Map(
            points.map(({ payload, vector }) => [String(payload.id), bytesOf(Float32Array.from(vector))]),
          ),
        }
      },
      async search(name) {
        const reply = await fetch(`${server.url}/collections/${name}/points/scroll`, {
          method: 'POST',
          headers: { 'api-key': 'a-key', 'content-type': 'application/json' },
          body: JSON.stringify({ limit: 10, with_payload: false, with_vector: true }),
        })
        if (!reply.ok) throw new Error(await reply.text())
        const { result } = (await reply.json()) as { result: { points: { vector: number[] }[] } }
        return result.points.map(({ vector }) => vector.length)
      },
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  }
  const server = await startPostgres()
  const [client, searching] = [await server.connect(), await server.connect()]
  return {
    url: server.url,
    env: {},
    async read(target) {
      const vectors = new Map<string, Buffer>()
      const { rows } = await client.query(`SELECT id, vector_send(embedding) AS sent FROM ${target}`)
      for (const { id, sent } of rows) vectors.set(id, Buffer.from(sent.subarray(4)).swap32())
      return { rows: rows.length, vectors }
    },
    async search(name) {
      const { rows } = await searching.query(
        `SELECT vector_dims(embedding) AS d FROM ${name} ORDER BY embedding <#> (SELECT embedding FROM ${name} LIMIT 1) LIMIT 10`,
      )
      return rows.map(({ d }) => d)
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

test.each(SIZES)(
  '$rows vectors of $dimensions dimensions are loaded once by workers that are killed, while Redis is emptied',
  async ({ rows, dimensions }) => {
    await using folder = await temporaryFolder()
    await using redis = await startRedis()
    await using queue = await openQueue(redis.url)
    await using store = await startTarget()
    await using output = await openStore(folder.path)
    const made = await makeRun(output, { shards: SHARDS, rows: rows / SHARDS, dimensions, rowGroupRows: 500 })
    const { run } = made.manifest
    // Searches use an earlier run of another model before, meanwhile, and after the way back.
    const earlier = await makeRun(output, { run: 'e'.repeat(26), dimensions: EARLIER })
    await putVersion(output, { version: 1, run: earlier.manifest.run, seq: 1, manifestSha256: '' })
    vi.stubEnv('QDRANT_API_KEY', 'a-key')
    await using vectors = await openVectorStore(store.url)
    await loadRun(output, earlier.manifest, vectors, { name: 'wiki' })
    await switchStore(output, vectors, { name: 'wiki' })
    await putVersion(output, { version: 2, run, seq: 2, manifestSha256: '' })
    let isOver = false
    const answers = new Map<string, number>()
    const searches = (async () => {
      while (!isOver) {
        const answer = await store.search('wiki').then(
          found => [...new Set(found)].join(),
          error => String(error),
        )
        answers.set(answer, (answers.get(answer) ?? 0) + 1)
        await setTimeout(5)
      }
    })()
    const answered = (dimensions: number) => {
      const before = answers.get(String(dimensions)) ?? 0
      return expect
        .poll(() => answers.get(String(dimensions)) ?? 0, { timeout: 60_000 })
        .toBeGreaterThan(before + 10)
    }

    const place = ['--output', folder.path, '--redis', redis.url]
    const worker = (): Running =>
      start(
        ['worker', ...place, '--endpoint', 'http://127.0.0.1:9', '--concurrency', '1', '--sinks', store.url],
        store.env,
      )
    const workers = [worker(), worker(), worker()]
    const started = [...workers]
    const to = ['--to', store.url, '--name', 'wiki']
    try {
      await expect.poll(() => queue.workers(), { timeout: 60_000 }).toHaveLength(3)
      const loading = start(['load', ...place, ...to], store.env)
      started.push(loading)
      /** Resolves when so many shards are recorded. */
      const recorded = async (count: number): Promise<void> => {
        const loaded = async (): Promise<number> => {
          const [order] = await Array.fromAsync(readLoadOrders(output, run))
          return order
            ? (await Array.fromAsync(readLoadedShards(output, made.manifest, order.load))).length
            : 0
        }
        while ((await loaded()) < count) expect(loading.child.exitCode).toBeNull()
      }
      const kill = (worker: Running | undefined): void => {
        expect(loading.child.exitCode).toBeNull()
        expect(worker?.child.kill('SIGKILL')).toBe(true)
      }
      await recorded(3)
      kill(workers[0])
      const restarted = worker()
      started.push(restarted)
      await recorded(8)
      const client = connectRedis(redis.url)
      await client.flushall()
      client.disconnect()
      // Those that live register again, with the one that was started.
      await expect.poll(() => queue.workers(), { timeout: 60_000 }).toHaveLength(3)
      await recorded(15)
      kill(restarted)
      await recorded(20)
      kill(workers[1])
      const { code, stdout, stderr } = await loading.finished
      expect(code, stderr).toBe(0)
      expect(stdout).toMatch(new RegExp(`the store counts ${rows.toLocaleString('en')} rows`))
      expect(stdout).not.toMatch(/this process wrote/)
      const found = await store.read(`wiki_${run.slice(0, 12)}`)
      expect(found.rows).toBe(rows)
      const wrong = made.ids.filter((id, row) => {
        const vector = made.vectors.subarray(row * dimensions, (row + 1) * dimensions)
        return !found.vectors.get(id)?.equals(bytesOf(vector))
      })
      expect(wrong).toEqual([])
      const switched = await reembed(['switch', '--output', folder.path, ...to], store.env)
      expect(switched.stdout, switched.stderr).toMatch(/searches +wiki uses wiki_/)
      await answered(dimensions)
      const back = await reembed(['switch', '--back', '--output', folder.path, ...to], store.env)
      expect(back.stdout, back.stderr).toMatch(/searches +wiki uses wiki_eeee/)
      await answered(EARLIER)
      const on = await reembed(['switch', '--output', folder.path, ...to], store.env)
      expect(on.code, on.stderr).toBe(0)
      expect([...answers.keys()].sort()).toEqual([EARLIER, dimensions].map(String).sort())
      const counts = await queue.counts()
      expect(counts).toMatchObject({ failed: 0 })
    } finally {
      isOver = true
      await searches
      process.stdout.write(`answers by dimensions: ${JSON.stringify([...answers])}\n`)
      vi.unstubAllEnvs()
      for (const { child } of started) child.kill('SIGKILL')
    }
  },
  1_800_000,
)

test('a worker with a wrong key gives its jobs back, and states why', async () => {
  await using folder = await temporaryFolder()
  await using redis = await startRedis()
  await using queue = await openQueue(redis.url)
  await using server = await startQdrant('a-key')
  await using output = await openStore(folder.path)
  const { manifest } = await makeRun(output)
  await putVersion(output, { version: 1, run: manifest.run, seq: 1, manifestSha256: '' })
  const url = `qdrant+${server.url}`
  const place = ['--output', folder.path, '--redis', redis.url]
  const started: Running[] = []
  const begin = (args: readonly string[], key: string): Running => {
    const running = start([...args], { QDRANT_API_KEY: key })
    started.push(running)
    return running
  }
  const worker = (key: string): Running =>
    begin(['worker', ...place, '--endpoint', 'http://127.0.0.1:9', '--sinks', url], key)
  try {
    const wrong = worker('wrong')
    await expect.poll(() => queue.workers(), { timeout: 60_000 }).toHaveLength(1)
    const loading = begin(['load', ...place, '--to', url], 'a-key')
    const reason = /denies access \(40[13]\).*this process takes them from .* QDRANT_API_KEY/
    await loading.line(reason)
    expect(await queue.workers()).toMatchObject([{ loadFault: expect.stringMatching(reason) }])
    expect(wrong.child.exitCode).toBeNull()
    worker('a-key')
    const { code, stdout, stderr } = await loading.finished
    expect(stdout, stderr).toMatch('the store counts 300 rows')
    expect(code).toBe(0)
    expect(await queue.counts()).toMatchObject({ failed: 0 })
  } finally {
    for (const { child } of started) child.kill('SIGKILL')
  }
}, 180_000)
