// Vector stores that fall silent in the middle of a load, or send what no vector store sends.

import { LIMITS, REPLY_TOO_LONG, withDeadlines } from '@reembed/shared'
import { loadRun, openIndex, openVectorStore, switchStore } from '@reembed/sinks'
import { startFaultyLink } from '@reembed/testing'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { makeRun } from '../export/run.ts'
import { testUnless } from '../parts/needs.ts'
import { startPooler } from '../parts/pooler.ts'
import { lackOfPostgres, startPostgres } from '../parts/postgres.ts'
import { startQdrant } from '../parts/qdrant.ts'
import { serveHttp } from '../parts/serve-http.ts'
import { memoryStore } from '../shard/parts.ts'

const KEY = 'a-key'
beforeEach(() => {
  vi.stubEnv('QDRANT_API_KEY', KEY)
})
afterEach(() => {
  vi.unstubAllEnvs()
})

const portOf = (url: string): number => Number(new URL(url).port)

test('a vector store that falls silent during a load ends it in time, and the next load completes it', async () => {
  await using server = await startQdrant(KEY)
  await using link = await startFaultyLink({ target: portOf(server.url) })
  const output = memoryStore()
  const { manifest } = await makeRun(output)
  const waits: string[] = []
  const onWait = ({ dependency, state }: { dependency: string; state: string }): void =>
    void waits.push(`${dependency} ${state}`)
  // A reply within 3 s, and no attempt after 2.25 s.
  await withDeadlines({ timeoutMs: 1_500, onWait }, async () => {
    await using vectors = await openVectorStore(`qdrant+http://127.0.0.1:${link.port}`)
    const silentAfter = 2
    const load = loadRun(output, manifest, vectors, {
      onProgress: () => {
        if (server.upsertedWith.length >= silentAfter) link.fault = 'silent'
      },
    })
    await expect(load).rejects.toMatchObject({
      code: 'STORE_UNREACHABLE',
      message: expect.stringMatching(/does not answer \(no complete reply within 3 s\): start it/),
    })
  })
  expect(waits).toContain(`the vector store at http://127.0.0.1:${link.port} silent`)
  link.fault = undefined
  await using again = await openVectorStore(`qdrant+http://127.0.0.1:${link.port}`)
  expect((await loadRun(output, manifest, again)).proof.rows).toBe(manifest.totals.rows)
}, 8_000)

testUnless(
  lackOfPostgres,
  'a statement of PostgreSQL may take any time while the server works, also behind a pooler, and ends in time when it is silent',
  async () => {
    await using server = await startPostgres()
    // The second probe is lost.
    await using pooler = await startPooler(n => (n === 2 ? undefined : portOf(server.url)))
    await using link = await startFaultyLink({ target: pooler.port })
    const output = memoryStore()
    const { manifest } = await makeRun(output)
    const other = await server.connect()
    // `prepare` of the load waits for this lock.
    await other.query('SELECT pg_advisory_lock(7317294501)')
    await withDeadlines({ timeoutMs: 6_000 }, async () => {
      await using vectors = await openVectorStore(server.url.replace(/:\d+\//, `:${link.port}/`))
      const ended = loadRun(output, manifest, vectors).then(
        () => 'loaded',
        (error: { code?: string }) => error.code,
      )
      const probes = async (): Promise<number> => {
        const { rows } = await other.query(
          "SELECT sum(sessions) AS n FROM pg_stat_database WHERE datname = 'postgres'",
        )
        return Number(rows[0].n)
      }
      const before = await probes()
      await expect.poll(probes, { timeout: 10_000 }).toBeGreaterThan(before + 3)
      expect(await Promise.race([ended, 'waiting'])).toBe('waiting')
      link.fault = 'silent'
      expect(await ended).toBe('STORE_UNREACHABLE')
    })
  },
  30_000,
)

testUnless(
  lackOfPostgres,
  'an interrupted load ends although PostgreSQL is silent',
  async () => {
    await using server = await startPostgres()
    await using link = await startFaultyLink({ target: portOf(server.url) })
    const output = memoryStore()
    const { manifest } = await makeRun(output)
    const other = await server.connect()
    await other.query('SELECT pg_advisory_lock(7317294501)')
    await using vectors = await openVectorStore(server.url.replace(/:\d+\//, `:${link.port}/`))
    const stop = new AbortController()
    const ended = loadRun(output, manifest, vectors, { signal: stop.signal })
    const waiting = async (): Promise<number> =>
      (await other.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")).rowCount ?? 0
    await expect.poll(waiting, { timeout: 10_000 }).toBe(1)
    link.fault = 'silent'
    stop.abort(new Error('interrupted'))
    await expect(ended).rejects.toThrow('interrupted')
  },
  30_000,
)

testUnless(
  lackOfPostgres,
  'the examination of an index ends in time when PostgreSQL is silent',
  async () => {
    await using server = await startPostgres()
    await using link = await startFaultyLink({ target: portOf(server.url) })
    const other = await server.connect()
    await other.query('CREATE EXTENSION vector')
    await other.query(
      "CREATE TABLE docs AS SELECT n AS id, '[1,2]'::vector AS embedding FROM generate_series(1, 2000) n",
    )
    await withDeadlines({ timeoutMs: 3_000 }, async () => {
      const url = `${server.url.replace(/:\d+\//, `:${link.port}/`)}?table=docs&id=id`
      await using index = await openIndex(url)
      const rows = index.rows(AbortSignal.timeout(20_000))
      expect((await rows.next()).value).toHaveLength(1_000)
      link.fault = 'silent'
      await expect(rows.next()).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' })
    })
  },
  30_000,
)

test('a page of a proxy instead of JSON is refused with its beginning', async () => {
  await using server = await serveHttp((_, reply) => reply.end('<html>Sign in</html>'))
  await using vectors = await openVectorStore(`qdrant+${server.url}`)
  await expect(switchStore(memoryStore(), vectors)).rejects.toMatchObject({
    code: 'USAGE',
    option: 'target',
    message: expect.stringContaining('text that is not JSON: <html>Sign in</html>; correct the address'),
  })
})

test('a reply of a vector store beyond its limit is not read', async () => {
  let sent = 0
  await using server = await serveHttp(async (_, reply) => {
    const piece = Buffer.alloc(2 ** 20, ' ')
    while (!reply.destroyed) {
      sent += piece.length
      await new Promise(done => reply.write(piece, done))
    }
  })
  await using vectors = await openVectorStore(`qdrant+${server.url}`)
  await expect(switchStore(memoryStore(), vectors)).rejects.toMatchObject({
    code: 'STORE_UNREACHABLE',
    reason: REPLY_TOO_LONG,
    message: expect.stringContaining(`longer than ${LIMITS.sinkReplyBytes} bytes`),
  })
  expect(sent).toBeLessThan(2 * LIMITS.sinkReplyBytes)
})
