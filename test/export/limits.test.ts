// What consumers refuse is found in all rows before the first file is written.

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type ExportLayoutName, exportRun } from '@reembed/export'
import { openStore } from '@reembed/store'
import { describe, expect, test } from 'vitest'
import { temporaryFolder } from '../parts/cli.ts'
import { memoryStore } from '../shard/parts.ts'
import { makeRun } from './run.ts'

type Row = { readonly id?: string; readonly text?: string; readonly lang?: string }

const refused: readonly (readonly [string, ExportLayoutName, Row, string])[] = [
  ['an id over 512 bytes', 'elasticsearch', { id: 'ü'.repeat(257) }, 'an id of 514 bytes, at most 512'],
  [
    'a keyword over 32,766 bytes',
    'elasticsearch',
    { lang: 'x'.repeat(32_767) },
    '32767 bytes in the column lang',
  ],
  ['an id over 512 characters', 'pinecone', { id: 'x'.repeat(513) }, 'an id of 513 characters'],
  ['metadata over 40 KiB', 'pinecone', { text: 'x'.repeat(41_000) }, 'bytes of metadata'],
  ['an id over 1,024 bytes', 'milvus', { id: 'x'.repeat(1_025) }, 'an id of 1025 bytes'],
  ['a text over 65,535 bytes', 'milvus', { text: 'ü'.repeat(32_768) }, '65536 bytes in the column text'],
  ['an id over 2,600 bytes', 'pgvector', { id: 'x'.repeat(2_601) }, 'an id of 2601 bytes'],
  ['a NUL in a text', 'pgvector', { text: 'a\0b' }, 'the character U+0000 in the column text'],
  ['a NUL in an id', 'pgvector', { id: 'a\0b' }, 'the character U+0000 in the id'],
  ['a control character', 'vespa', { text: 'a\u0001b' }, 'a control character in the column text'],
]

test.each(refused)(
  '%s is refused by the layout %s before a byte is written',
  async (_, layout, row, problem) => {
    const source = memoryStore()
    const { manifest } = await makeRun(source, { edit: at => (at === 142 ? row : {}) })
    const target = memoryStore()
    await expect(exportRun(source, manifest, target, { layout })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining(problem),
    })
    expect([...target.objects.keys()]).toEqual([])
  },
)

test.each<ExportLayoutName>(['hf', 'lance', 'arrow', 'npy'])(
  'the layout %s stores all of these rows',
  async layout => {
    const source = memoryStore()
    const rows = refused.map(([, , row]) => row)
    const { manifest } = await makeRun(source, {
      shards: 1,
      edit: at => (rows[at] ? { ...rows[at], id: `${at} ${rows[at].id ?? ''}` } : {}),
    })
    expect(await exportRun(source, manifest, memoryStore(), { layout })).toMatchObject({ rows: 100 })
  },
)

test('all offenders are counted, and ten of them listed', async () => {
  const source = memoryStore()
  const { manifest } = await makeRun(source, { edit: at => (at % 2 === 0 ? { text: `${at}\0` } : {}) })
  const refusal = exportRun(source, manifest, memoryStore(), { layout: 'pgvector' })
  await expect(refusal).rejects.toThrow('PostgreSQL cannot store 150 of the documents')
  await expect(refusal).rejects.toThrow('and 140 more')
})

test('rows that the consumer cannot store are left out if asked, counted and listed in refused.jsonl', async () => {
  const source = memoryStore()
  const { manifest, ids } = await makeRun(source, { edit: at => (at % 150 === 7 ? { text: 'a\0b' } : {}) })
  const target = memoryStore()
  const options = { layout: 'pgvector', skipRefused: true } as const
  const first = await exportRun(source, manifest, target, options)
  expect(first).toMatchObject({ rows: 298, refused: 2 })
  const listed = [...target.objects].filter(([key]) => key.startsWith('refused/'))
  expect(listed.map(([, bytes]) => JSON.parse(Buffer.from(bytes).toString()))).toEqual(
    [7, 157].map(at => ({ id: ids[at], problem: 'the character U+0000 in the column text' })),
  )
  const page = Buffer.from(target.objects.get('LOAD.md') ?? []).toString()
  expect(page).toMatch(/^298 vectors[\s\S]*^Rows that the consumer cannot store are left out, 2 in number/m)
  // The same call continues it; another one is another export.
  expect(await exportRun(source, manifest, target, options)).toMatchObject({
    rows: 298,
    refused: 2,
    bytes: 0,
  })
  await expect(exportRun(source, manifest, target, { layout: 'pgvector' })).rejects.toThrow(
    'holds another export',
  )
})

test('a shard whose rows are all left out writes no file', async () => {
  const source = memoryStore()
  const { manifest } = await makeRun(source, { edit: at => (at < 100 ? { id: `${at}\0` } : {}) })
  const target = memoryStore()
  expect(await exportRun(source, manifest, target, { layout: 'pgvector', skipRefused: true })).toMatchObject({
    rows: 200,
    refused: 100,
    shards: 2,
  })
  expect([...target.objects.keys()].filter(key => key.startsWith('data/'))).toHaveLength(2)
})

describe('the commands that load the layout elasticsearch', () => {
  /** Runs LOAD.md against a server that answers each bulk request with `reply`. */
  async function load(
    reply: (body: string) => object,
    bulkStatus = 200,
  ): Promise<{ code: number; stderr: string; bodies: string[] }> {
    await using folder = await temporaryFolder()
    const source = memoryStore()
    const { manifest } = await makeRun(source)
    await using target = await openStore(folder.path)
    await exportRun(source, manifest, target, { layout: 'elasticsearch', name: 'wiki' })
    const bodies: string[] = []
    const server = createServer(async (request, response) => {
      const body = (await Array.fromAsync(request)).join('')
      if (request.url?.startsWith('/wiki/_bulk')) bodies.push(body)
      if (request.url !== '/wiki') response.statusCode = bulkStatus
      response.end(JSON.stringify(request.url === '/wiki' ? { acknowledged: true } : reply(body)))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      const page = await readFile(join(folder.path, 'LOAD.md'), 'utf8')
      const [, commands = ''] = /```sh\n(.*?)```/s.exec(page) ?? []
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      const run = promisify(execFile)('sh', ['-c', commands.replaceAll('<elasticsearch>', url)])
      const { code, stderr } = await run.then(
        ({ stderr }) => ({ code: 0, stderr }),
        (error: { code: number; stderr: string }) => error,
      )
      return { code, stderr, bodies }
    } finally {
      server.closeAllConnections()
      server.close()
    }
  }

  test('send every document, and end with 0', async () => {
    const { code, bodies } = await load(() => ({ errors: false }))
    expect(code).toBe(0)
    expect(bodies.join('').split('\n').length - 1).toBe(600)
  })

  test('end with an error that names the file when a document of a bulk request fails', async () => {
    const { code, stderr, bodies } = await load(() => ({
      errors: true,
      items: [{ index: { error: { type: 'document_parsing_exception' } } }],
    }))
    expect(code).toBe(1)
    expect(stderr).toMatch(/data\/part-00000-of-00003-0000\.ndjson: .*document_parsing_exception/)
    expect(bodies).toHaveLength(1)
  })

  test('end with an error that shows the reply when a bulk request is refused', async () => {
    const { code, stderr, bodies } = await load(() => ({ error: 'es_rejected_execution_exception' }), 429)
    expect(code).toBe(1)
    expect(stderr).toMatch(/data\/part-00000-of-00003-0000\.ndjson: .*es_rejected_execution_exception/)
    expect(bodies).toHaveLength(1)
  })
})
