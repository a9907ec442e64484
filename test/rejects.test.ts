// `reembed rejects`: what a run did not embed, from the receipts of its shards.

import { unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { flags, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'

let redis: LocalRedis
let tei: TeiServer
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let output: string
let source: string
let run: string

beforeAll(async () => {
  const engine = createHashEngine({ dimensions: 8, maxInputLength: 16 })
  ;[redis, tei, folder] = await Promise.all([startRedis(), serveTei({ engine }), temporaryFolder()])
  output = join(folder.path, 'vectors')
  const records = Array.from({ length: 200 }, (_, i) => ({
    id: `d${i}`,
    text: i === 7 ? ' ' : i === 150 ? `A "long", ${'word '.repeat(30)}` : `text ${i}`,
  }))
  source = await writeJsonl(join(folder.path, 'a.jsonl'), records)
  const { stdout } = await inProcess([
    'run',
    ...flags({
      source,
      output,
      endpoint: tei.url,
      redis: redis.url,
      'documents-per-shard': '50',
      'max-rejects': '5',
    }),
    '--no-truncate',
    '--json',
  ])
  run = JSON.parse(stdout).run
})
afterAll(async () => {
  for (const part of [redis, tei, folder]) await part[Symbol.asyncDispose]()
})

test('lists file, line, id, reason and beginning of the text, also as CSV and JSON', async () => {
  const list = await inProcess(['rejects', '--output', output])
  expect(list.code).toBe(0)
  const [first, second, text, ...rest] = list.stdout.split('\n')
  expect(first).toBe('a.jsonl:8  d7  empty_text: the text is empty or only whitespace')
  expect(second).toMatch(/^a\.jsonl:151 {2}d150 {2}too_large: /)
  expect(text).toBe(`    ${`A "long", ${'word '.repeat(30)}`.slice(0, 80).trim()}`)
  expect(rest).toEqual([''])
  expect(list.stderr).toMatch(
    new RegExp(`^run ${run}: 2 rejects\\. .*reembed retry ${run.slice(0, 8)} --rejects`),
  )

  const csv = (await inProcess(['rejects', run, '--csv', '--output', output])).stdout.split('\r\n')
  expect(csv[0]).toBe('file,line,id,reason,message,text')
  expect(csv[1]).toBe('a.jsonl,8,d7,empty_text,the text is empty or only whitespace, ')
  expect(csv[2]).toMatch(/^a\.jsonl,151,d150,too_large,.*,"A ""long"", word /)

  const json = (await inProcess(['rejects', run, '--json', '--no-show-text', '--output', output])).stdout
  expect(
    json
      .trim()
      .split('\n')
      .map(line => JSON.parse(line)),
  ).toMatchObject([
    { id: 'd7', key: 'a.jsonl', line: 8, reason: 'empty_text' },
    { id: 'd150', key: 'a.jsonl', line: 151, reason: 'too_large' },
  ])
})

test('without the corpus it lists the rejects with a note, and no text', async () => {
  await unlink(source)
  const { code, stdout, stderr } = await inProcess(['rejects', '--output', output])
  expect(code).toBe(0)
  expect(stdout.split('\n')).toHaveLength(3)
  expect(stderr).toContain('note: no texts, because they cannot be read from the corpus: ')
})
