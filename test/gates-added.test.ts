// Gates added to an output that has a published version: the current version is judged with the new
// queries, nothing is forced, and the queries that got worse are shown.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readCurrent } from '@reembed/protocol'
import { openStore, type Store } from '@reembed/store'
import { type FakeTei, type S3Server, startFakeTei, startS3Server } from '@reembed/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { temporaryFolder, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'

const COUNT = 200
const text = (i: number): string => `speak of ${i % 7} topic ${i}`
const DROP = ['--gate', 'recall@10 drop 0.02']
let tei: FakeTei
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let store: Store
let s3: S3Server
let judged: string[]

beforeAll(async () => {
  folder = await temporaryFolder()
  ;[tei, s3] = await Promise.all([startFakeTei({ dimensions: 16, sha: 'one' }), startS3Server()])
  const asked = Array.from({ length: 12 }, (_, i) => i * 16)
  const queries = asked.map(i => JSON.stringify({ _id: `q${i}`, text: text(i) })).join('\n')
  const qrels = asked.map(i => `q${i}\td${i}\t1`).join('\n')
  await writeFile(join(folder.path, 'queries.jsonl'), queries)
  await writeFile(join(folder.path, 'qrels.tsv'), qrels)
  judged = [
    '--gate-queries',
    join(folder.path, 'queries.jsonl'),
    '--gate-qrels',
    join(folder.path, 'qrels.tsv'),
  ]
  store = await openStore(join(folder.path, 'vectors'), { create: true })
  await corpus(COUNT)
  expect(await run()).toMatchObject({ code: 0, result: { status: 'published', version: 1 } })
})
afterAll(async () => {
  for (const part of [store, s3, tei, folder]) await part[Symbol.asyncDispose]()
})

const corpus = (count: number) =>
  writeJsonl(
    join(folder.path, 'corpus.jsonl'),
    Array.from({ length: count }, (_, i) => ({ id: `d${i}`, text: text(i) })),
  )

async function command(...args: string[]) {
  const { code, stdout, stderr } = await inProcess([...args, '--output', join(folder.path, 'vectors')])
  return { code, stdout, stderr, result: args.includes('--json') && stdout ? JSON.parse(stdout) : undefined }
}

const run = (...gates: string[]) =>
  command('run', '--source', join(folder.path, 'corpus.jsonl'), '--endpoint', tei.url, '--json', ...gates)

async function serve(changes: Parameters<FakeTei['start']>[0]): Promise<void> {
  await tei.stop()
  await tei.start(changes)
}

test('P-GATE: the first run with a drop gate is published: the current version is scored with its queries', async () => {
  await corpus(COUNT + 1)
  const { code, stderr } = await run(...DROP, ...judged)
  expect(code, stderr).toBe(0)
  expect(await readCurrent(store)).toMatchObject({ version: 2, action: 'publish' })
  expect((await readCurrent(store))?.overriddenReasons).toBeUndefined()
})

test('P-GATE: a run of another model is compared with those scores, and its worst queries are listed', async () => {
  // It reads only three words, and these are the same in every seventh document.
  await serve({ sha: 'two', maxInputLength: 4 })
  const held = await run(...DROP, ...judged)
  expect([held.code, held.result.status]).toEqual([3, 'held'])
  const shown = await command('publish', held.result.run)
  expect([shown.code, shown.stdout]).toEqual([
    3,
    expect.stringMatching(/^run +[a-z2-7]{26} {2}held: gate 'recall@10 drop 0\.02': recall@10 1\.000 → 0\./),
  ])
  const worse = shown.stdout.split('\n').filter(line => line.startsWith('worse'))
  expect(worse.length).toBeGreaterThan(0)
  for (const line of worse)
    expect(line).toMatch(
      /^worse +1\.000 to 0\.000 {2}q\d+ {2}"speak of \d topic \d+" {2}\(recall@10 drop 0\.02\)$/,
    )
})

test('P-GATE: a current version of another model holds the run until `evaluate` has scored it, without --force', async () => {
  await serve({ sha: 'three', maxInputLength: 512 })
  const other = join(folder.path, 'others.jsonl')
  await writeFile(other, JSON.stringify({ _id: 'q1', text: text(1) }))
  await writeFile(join(folder.path, 'others.tsv'), 'q1\td1\t1\n')
  const queries = ['--gate-queries', other, '--gate-qrels', join(folder.path, 'others.tsv')]
  const held = await run(...DROP, ...queries)
  const { run: current } = (await readCurrent(store)) ?? {}
  expect(held.code, held.stderr).toBe(3)
  expect(held.result.reason).toContain(
    `run ${current} of model reembed/hash@one was never evaluated with these queries`,
  )
  await serve({ sha: 'one', maxInputLength: 512 })
  const scored = await command('evaluate', '--endpoint', tei.url, '--json', ...queries)
  expect(scored.code, scored.stderr).toBe(0)
  expect(scored.result).toMatchObject({ run: current, means: { 'recall@10': 1 }, missing: 0 })
  const published = await command('publish', held.result.run)
  expect([published.code, published.stdout]).toEqual([0, expect.stringContaining('version 3')])
})

test('P-GATE: gates without a version to compare with are named in the first version', async () => {
  const output = join(folder.path, 'fresh')
  const first = await inProcess([
    ...['run', '--source', join(folder.path, 'corpus.jsonl'), '--endpoint', tei.url, '--output', output],
    ...[...DROP, ...judged, '--gate', 'recall@10 min 0.5'],
  ])
  expect(first.code, first.stderr).toBe(0)
  await using fresh = await openStore(output)
  expect(await readCurrent(fresh)).toMatchObject({
    unjudgedGates: ["gate 'recall@10 drop 0.02': recall@10: no published version to compare with"],
  })
})

test('queries and qrels are read from S3; a missing object is a usage error that names it', async () => {
  const bucket = s3.bucket('test')
  bucket.put('judged/queries.jsonl', Buffer.from(`{"_id":"q1","text":"${text(1)}"}\n`))
  bucket.put('judged/qrels.tsv', Buffer.from('q1\td1\t1\n'))
  const evaluated = (qrels: string) =>
    inProcess(
      [
        ...['evaluate', '--output', join(folder.path, 'vectors'), '--endpoint', tei.url, '--json'],
        ...['--gate-queries', 's3://test/judged/queries.jsonl', '--gate-qrels', qrels],
      ],
      s3.env,
    )
  await serve({ sha: 'three', maxInputLength: 512 })
  const scored = await evaluated('s3://test/judged/qrels.tsv')
  expect(scored.code, scored.stderr).toBe(0)
  expect(JSON.parse(scored.stdout).queries).toEqual([{ id: 'q1', text: text(1) }])
  const missing = await evaluated('s3://test/judged/none.tsv')
  expect([missing.code, missing.stderr]).toEqual([2, expect.stringContaining('s3://test/judged/none.tsv')])
})
