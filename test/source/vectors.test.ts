// One corpus that holds the same documents in every format, embedded by a real worker: same text,
// same hash, same vector.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startRedis } from '@reembed/local'
import { readShard } from '@reembed/shard'
import { shardKey } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { startFakeTei } from '@reembed/testing'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../parts/cli.ts'
import { inProcess } from '../parts/in-process.ts'
import { writeFormats, writtenDocuments } from './writers.ts'

test('a document has the same content hash and vector in every format', async () => {
  await using folder = await temporaryFolder()
  await using tei = await startFakeTei({ dimensions: 16 })
  await using redis = await startRedis()
  const source = join(folder.path, 'corpus')
  await mkdir(source)
  const documents = writtenDocuments(50)
  const names = [...(await writeFormats(documents)).keys()]
  for (const name of names) {
    const files = await writeFormats(
      documents.map(document => ({ ...document, id: `${name}:${document.id}` })),
    )
    await writeFile(join(source, name), files.get(name) ?? '')
  }
  const output = join(folder.path, 'vectors')
  const args = ['run', '--source', source, '--output', output, '--endpoint', tei.url, '--redis', redis.url]
  const { code, stdout } = await inProcess([
    ...args,
    '--csv',
    'quote=double',
    '--documents-per-shard',
    '40',
    '--json',
  ])
  expect(code).toBe(0)

  const { run, shards } = JSON.parse(stdout)
  await using store = await openStore(output)
  const rows = new Map<string, string>()
  for (let shard = 0; shard < shards; shard++) {
    for await (const { ids, hashes, vectors } of readShard(store, shardKey(run, shard, shards))) {
      for (const [row, id] of ids.entries()) {
        const hash = Buffer.from(hashes).toString('hex', row * 16, row * 16 + 16)
        rows.set(id, `${hash} ${Buffer.from(vectors.slice(row * 16, row * 16 + 16).buffer).toString('hex')}`)
      }
    }
  }
  expect(names.length).toBeGreaterThan(20)
  expect(rows.size).toBe(names.length * documents.length)
  const first = documents.map(({ id }) => rows.get(`${names[0]}:${id}`))
  expect(new Set(first).size).toBe(new Set(documents.map(({ text }) => text)).size)
  for (const name of names) {
    expect(
      documents.map(({ id }) => rows.get(`${name}:${id}`)),
      name,
    ).toEqual(first)
  }
})
