// A nightly schedule with gates, end to end: a new revision behind the same endpoint is detected,
// embedded, evaluated and published. A worse revision is held back with both figures; a user can
// publish it anyway, and roll back.

import { appendFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type LocalRedis, startRedis } from '@reembed/local'
import { readCurrent } from '@reembed/protocol'
import { readCurrentManifest } from '@reembed/shard'
import { ticksSinceKey } from '@reembed/shared'
import { openStore, type Store } from '@reembed/store'
import { type FakeTei, startFakeTei } from '@reembed/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { flags, reembed, start, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'

const COUNT = 300
let redis: LocalRedis
let tei: FakeTei
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let store: Store
let output: string
const config = (): string => join(folder.path, 'reembed.yaml')
const text = (i: number): string => `speak of ${i % 7} topic ${i}`

beforeAll(async () => {
  folder = await temporaryFolder()
  ;[tei, redis] = await Promise.all([startFakeTei({ dimensions: 16, sha: 'one' }), startRedis()])
  await mkdir(join(folder.path, 'corpus'))
  const ids = Array.from({ length: COUNT }, (_, i) => i)
  await writeJsonl(
    join(folder.path, 'corpus', 'a.jsonl'),
    ids.map(i => ({ id: `d${i}`, text: text(i) })),
  )
  // A good model finds the document with the same words.
  const asked = ids.filter(i => i % 10 === 0)
  await writeJsonl(
    join(folder.path, 'queries.jsonl'),
    asked.map(i => ({ _id: `q${i}`, text: text(i) })),
  )
  const judged = asked.map(i => `q${i}\td${i}\t1\n`).join('')
  await writeFile(join(folder.path, 'qrels.tsv'), `query-id\tcorpus-id\tscore\n${judged}`)
  await writeFile(
    config(),
    `version: 1
source: { uri: corpus }
output: { uri: vectors }
endpoint: { url: ${tei.url} }
queue: { redis: ${redis.url} }
model: { query_prompt: "" }
gates:
  hold: ["recall@10 drop 0.02", "ndcg@10 min 0.5", "rows drop 5%", "rejects max 1%"]
  queries: queries.jsonl
  qrels: qrels.tsv
schedules:
  - { name: yearly, cron: 0 0 1 1 *, when: model_changed }
`,
  )
  output = join(folder.path, 'vectors')
  store = await openStore(output, { create: true })
})
afterAll(async () => {
  for (const part of [store, tei, redis, folder]) await part[Symbol.asyncDispose]()
})

const command = (...args: string[]) => reembed(args, {}, folder.path)

/** A nightly schedule of which one tick is due. */
async function night(name: string): Promise<{ status: string; run: string }> {
  await appendFile(config(), `  - { name: ${name}, cron: 0 0 1 1 *, when: model_changed }\n`)
  await store.putIfAbsent(
    ticksSinceKey(name),
    Buffer.from('{"format":1,"since":"2020-01-01T00:00:00.000Z"}\n'),
  )
  const { code, stdout, stderr } = await command('schedule', 'tick', '--json')
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout).at(-1)
}

/**
 * A worker of its own for each night, as a Job or a scaled-down fleet has it; the line that it was
 * to log.
 */
async function workUntil(line: RegExp): Promise<string> {
  const worker = start(['worker'], {}, folder.path)
  const logged = await worker.line(line)
  worker.child.kill('SIGTERM')
  await worker.finished
  return logged
}

async function serve(changes: Parameters<FakeTei['start']>[0]): Promise<void> {
  await tei.stop()
  await tei.start(changes)
}

test('P-GATE: a new revision is detected, embedded, evaluated and published; a worse revision is held back with both figures', {
  timeout: 300_000,
}, async () => {
  const first = await command('run', '--json')
  expect(first.code, first.stderr).toBe(0)
  expect(JSON.parse(first.stdout)).toMatchObject({ status: 'published', version: 1 })
  expect(await night('night-1')).toMatchObject({ status: 'unchanged' })

  await serve({ sha: 'two' })
  const better = await night('night-2')
  expect(better.status).toBe('planned')
  expect(JSON.parse(await workUntil(/"state":"published"/))).toMatchObject({ state: 'published' })
  expect(await readCurrent(store)).toMatchObject({ version: 2, run: better.run })
  expect(await readCurrentManifest(output)).toMatchObject({ model: { revision: 'two' } })

  // It reads only four words, and these are the same in every seventh document.
  await serve({ sha: 'three', maxInputLength: 4 })
  const worse = await night('night-3')
  const { state, reason } = JSON.parse(await workUntil(/"state":"held"/))
  expect(state).toBe('held')
  expect(reason).toMatch(
    new RegExp(
      `^gate 'recall@10 drop 0.02': recall@10 1\\.000 → 0\\.\\d{3} \\(-0\\.\\d{3}; 95 % interval -[01]\\.\\d{3} to -0\\.\\d{3}, 30 queries\\) against run ${better.run}: a drop of at most 0\\.020 is allowed; gate 'ndcg@10 min 0.5'`,
    ),
  )
  expect(await readCurrent(store)).toMatchObject({ version: 2, run: better.run })

  const again = await command('publish', worse.run)
  expect([again.code, again.stdout]).toEqual([3, expect.stringContaining(`held: ${reason}`)])
  const rolledBack = await command('rollback')
  expect(rolledBack.code, rolledBack.stderr).toBe(0)
  expect(await readCurrent(store)).toMatchObject({ version: 3, run: JSON.parse(first.stdout).run })
  // A user may override the gates; their results remain in the version.
  const forced = await command('publish', worse.run, '--force', '--json')
  expect(forced.code, forced.stderr).toBe(0)
  expect(await readCurrent(store)).toMatchObject({ version: 4, run: worse.run })
  expect((await readCurrent(store))?.overriddenReasons?.join()).toContain('recall@10 1.000 → 0.')

  const runs = [better.run, worse.run] as const
  const diff = await command('diff', ...runs, '--json')
  expect(diff.code, diff.stderr).toBe(0)
  expect(JSON.parse(diff.stdout)).toMatchObject({
    sameSpace: false,
    common: COUNT,
    added: 0,
    removed: 0,
    cosine: null,
    health: [
      { repeatedVectors: 0, collapsedDimensions: 0 },
      { repeatedVectors: COUNT - 7, collapsedDimensions: 0 },
    ],
  })
  expect(await command('diff', ...runs, '--vectors')).toMatchObject({
    code: 6,
    stderr: expect.stringMatching(/are not comparable: different models/),
  })
})

test('invalid gates, queries and judgements are refused in one line before any text is embedded', async () => {
  const refused = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await inProcess([
      'run',
      ...flags({
        source: join(folder.path, 'corpus'),
        output: join(folder.path, 'none'),
        endpoint: tei.url,
        redis: redis.url,
      }),
      ...args,
    ])
    expect(code).toBe(2)
    return stderr
  }
  const queries = join(folder.path, 'queries.jsonl')
  const qrels = join(folder.path, 'unknown.tsv')
  await writeFile(qrels, 'query-id\tcorpus-id\tscore\nq0\td0\t1\nq99\td0\t1\n')
  expect(await refused('--gate', 'recal@10 drop 0.02')).toMatch(
    /^reembed: 'recal@10 drop 0.02' is not a valid gate: use the form 'recall@10 drop 0.02'.*\n$/,
  )
  expect(await refused('--gate', 'recall@10 min 0.5')).toBe(
    "reembed: the gate 'recall@10 min 0.5' needs queries and their judgements: give both (--gate-queries, --gate-qrels)\n",
  )
  const judged = ['--gate', 'recall@10 min 0.5', '--gate-queries', queries, '--gate-qrels']
  expect(await refused(...judged, qrels)).toBe(`reembed: ${qrels}:3: there is no query 'q99' in ${queries}\n`)
  expect(await refused(...judged, queries)).toMatch(/queries.jsonl:2: expected query-id, corpus-id and score/)
  expect(await refused(...judged, join(folder.path, 'nowhere.tsv'))).toMatch(
    /^reembed: cannot read .*nowhere/,
  )
})
