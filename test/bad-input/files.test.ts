// Bad inputs 17 to 32: files.

import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { createHashEngine, type LocalRedis, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { startFakeTei } from '@reembed/testing'
import { afterAll, beforeAll, expect } from 'vitest'
import { writeFormats, writtenDocuments } from '../source/writers.ts'
import { bad, type Embedded, embedFiles, expectSaid, good, jsonl, type Rig, told } from './parts.ts'

let tei: TeiServer
let redis: LocalRedis

beforeAll(async () => {
  ;[tei, redis] = await Promise.all([serveTei({ engine: createHashEngine({ dimensions: 8 }) }), startRedis()])
})
afterAll(async () => {
  await Promise.all([tei, redis].map(part => part?.[Symbol.asyncDispose]()))
})

const embed = (files: Parameters<typeof embedFiles>[0], more: Partial<Rig> = {}): Promise<Embedded> =>
  embedFiles(files, { tei: tei.url, redis: redis.url, ...more })

const ids = good().map(({ id }) => id)

bad(17, async input => {
  const cut = `${jsonl(...good())}{"id":"cut","text":"it ends he`
  const { rejects, ...made } = await embed({ 'a.jsonl': cut })
  expect(made.ids).toEqual(ids)
  expect(rejects).toMatchObject([{ key: 'a.jsonl', offset: jsonl(...good()).length, line: 4 }])
  expectSaid(input, { code: made.code, said: told(rejects[0]) })
})

bad(18, async input => {
  const windows = `\ufeff${jsonl(...good()).replaceAll('\n', '\r\n')}`
  const { code, ids: kept, result } = await embed({ 'a.jsonl': windows })
  expect({ code, kept, rejects: result.totals.rejects }).toEqual({ code: input.exit, kept: ids, rejects: 0 })
})

bad(19, async input => {
  const bytes = Buffer.concat([
    Buffer.from(jsonl(...good())),
    Buffer.from('{"id":"latin","text":"caf\xe9"}\n', 'latin1'),
  ])
  const { rejects, ...made } = await embed({ 'a.jsonl': bytes })
  expect([made.ids, rejects[0]?.line]).toEqual([ids, 4])
  expectSaid(input, { code: made.code, said: told(rejects[0]) })
})

bad(20, async input => {
  expectSaid(input, await embed({ 'a.jsonl': Buffer.from(`\ufeff${jsonl(...good())}`, 'utf16le') }))
})

bad(21, async input => {
  const { code, ids: kept } = await embed({ 'a.jsonl': '', 'b.jsonl': jsonl(...good()), 'c.csv': '' })
  expect({ code, kept }).toEqual({ code: input.exit, kept: ids })
})

bad(22, async input => {
  expectSaid(input, await embed({}))
})

bad(23, async input => {
  const packed = gzipSync(jsonl(...good(2_000)))
  const checksum = Buffer.from(packed)
  checksum.writeUInt32LE(0, packed.length - 8)
  const [cut, wrong] = [
    await embed({ 'a.jsonl.gz': packed.subarray(0, -20) }),
    await embed({ 'a.jsonl.gz': checksum }),
  ]
  expect(wrong.code).toBe(cut.code)
  expectSaid(input, { code: cut.code, said: `${cut.said} | ${wrong.said}`.replace(/byte \d+/, 'byte <n>') })
})

bad(24, async input => {
  const bomb = gzipSync(Buffer.concat([Buffer.from(jsonl(...good())), Buffer.alloc(100 * 2 ** 20, ' ')]))
  const { code, said } = await embed({ 'a.jsonl.gz': bomb })
  expectSaid(input, { code, said: said.replace(/\d+ bytes from \d+/, '<n> bytes from <m>') })
})

bad(25, async input => {
  expectSaid(input, await embed({ 'a.jsonl.gz': jsonl(...good()) }))
})

bad(26, async input => {
  const files = await writeFormats(writtenDocuments(20))
  const [body = ''] = [...files].flatMap(([name, bytes]) => (name.endsWith('.parquet') ? [bytes] : []))
  expectSaid(input, await embed({ 'a.parquet': body }, { args: ['--text', 'words'] }))
})

bad(27, async input => {
  const damaged = Buffer.from(`PAR1${'x'.repeat(100)}\x50\0\0\0PAR1`, 'latin1')
  expectSaid(input, await embed({ 'a.parquet': damaged }))
})

/** Does something to the corpus when the first text of the run is sent. */
async function during(act: (source: string) => Promise<void>): Promise<Embedded> {
  let source = ''
  let acted: Promise<void> | undefined
  await using slow = await startFakeTei({ dimensions: 8, baseMs: 5 })
  slow.faults.request = ({ inputs }) => {
    if (inputs.includes(good(1)[0]?.text ?? '')) acted ??= act(source)
    return undefined
  }
  const made = await embed(
    { 'a.jsonl': jsonl(...good(200)), 'b.jsonl': jsonl({ id: 'b', text: 'of another file' }) },
    {
      tei: slow.url,
      args: ['--documents-per-shard', '10', '--concurrency', '1'],
      async prepare(folder) {
        source = folder
      },
    },
  )
  await acted
  return made
}

const someShards = (said: string): string =>
  said.replace(/\d+ shards, the first of them \d+,/, '<n> shards, the first of them <m>,')

bad(28, async input => {
  const { code, said } = await during(source => writeFile(join(source, 'a.jsonl'), jsonl(...good(201))))
  expectSaid(input, { code, said: someShards(said) })
})

bad(29, async input => {
  const { code, said } = await during(source => rm(join(source, 'a.jsonl')))
  expectSaid(input, { code, said: someShards(said) })
})

bad(30, async input => {
  const names = [
    'a b.jsonl',
    '100%41.jsonl',
    'line\nbreak.jsonl',
    'größe/東京.jsonl',
    'a..b/c../d.jsonl',
    "'; DROP.jsonl",
  ]
  const files = Object.fromEntries(names.map((name, i) => [name, jsonl({ id: `${i}`, text: `text ${i}` })]))
  const { code, ids: kept, stderr } = await embed(files)
  expect({ code, kept: [...kept].sort() }).toEqual({ code: input.exit, kept: names.map((_, i) => `${i}`) })
  expect(stderr).not.toContain('line\nbreak')
})

bad(31, async input => {
  const outside = (source: string): string => join(source, '..', 'outside.jsonl')
  const made = await embed(
    { 'a.jsonl': jsonl(...good()) },
    {
      async prepare(source) {
        await writeFile(outside(source), jsonl({ id: 'secret', text: 'not part of the corpus' }))
        await symlink(outside(source), join(source, 'link.jsonl'))
      },
    },
  )
  expectSaid(input, made)
})

bad(32, async input => {
  const made = await embed(
    { 'a/one.jsonl': jsonl({ id: 'only', text: 'x' }) },
    {
      async prepare(source) {
        await mkdir(join(source, 'b'))
        await symlink(join(source, 'a', 'one.jsonl'), join(source, 'b', 'two.jsonl'))
      },
    },
  )
  expectSaid(input, made)
})
