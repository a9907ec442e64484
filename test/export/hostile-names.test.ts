// Names of tables, columns, models and folders that are made to escape from SQL, JSON, Markdown and
// the shell. SQL is executed by PostgreSQL, the commands of LOAD.md by a real shell.

import { spawnSync } from 'node:child_process'
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import { vector } from '@electric-sql/pglite-pgvector'
import { EXPORT_LAYOUT_NAMES, type ExportLayoutName, exportRun } from '@reembed/export'
import { openStore } from '@reembed/store'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { temporaryFolder } from '../parts/cli.ts'
import { memoryStore } from '../shard/parts.ts'
import { makeRun } from './run.ts'

const HOSTILE = [
  `a"; DROP TABLE victim; --`,
  `it's`,
  `$(touch pwned)`,
  '`touch pwned`',
  `x' || touch pwned || '`,
  `back\\slash "quoted"`,
  'line\nbreak\n```\ntouch pwned\n```',
  `:name :'name' :"name"`,
  '-- comment',
  '%s {0} $HOME ~ * ; & | < >',
  '日本語 😀',
]

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let postgres: PGlite
beforeAll(async () => {
  folder = await temporaryFolder()
  postgres = await PGlite.create({ extensions: { vector } })
})
afterAll(async () => {
  await postgres.close()
  await folder[Symbol.asyncDispose]()
})

test('PostgreSQL gets tables and columns with exactly the hostile names, and nothing else', async () => {
  await postgres.exec('CREATE TABLE victim (id int)')
  for (const name of HOSTILE) {
    const store = memoryStore()
    const { manifest, ids } = await makeRun(store, { shards: 1, rows: 5, dimensions: 4, more: HOSTILE })
    const target = memoryStore()
    await exportRun(store, manifest, target, { layout: 'pgvector', name })
    const text = (key: string): string => Buffer.from(target.objects.get(key) ?? []).toString()
    await postgres.exec(text('schema.sql'))
    await postgres.exec(text('index.sql'))
    const found = await postgres.query<{ column_name: string }>(
      'SELECT column_name FROM information_schema.columns WHERE table_name = $1',
      [name],
    )
    expect(found.rows.map(row => row.column_name)).toEqual(expect.arrayContaining(['id', ...HOSTILE]))
    const [, bytes = new Uint8Array()] = [...target.objects].find(([key]) => key.startsWith('data/')) ?? []
    const table = `"${name.replaceAll('"', '""')}"`
    const blob = new Blob([bytes.slice()])
    await postgres.query(`COPY ${table} FROM '/dev/blob' WITH (FORMAT binary)`, [], { blob })
    const rows = await postgres.query<{ id: string }>(`SELECT id FROM ${table} ORDER BY id`)
    expect(rows.rows.map(({ id }) => id)).toEqual([...ids].sort())
  }
  expect((await postgres.query('SELECT * FROM victim')).rows).toEqual([])
})

/** A run of some more rows, and one that follows it: rows are removed and one is changed. */
const EARLIER = { run: 'a'.repeat(26), shards: 1, rows: 7, dimensions: 8, more: ['url'] }
const LATER = {
  ...{ shards: 1, rows: 5, dimensions: 8, more: ['url'] },
  later: { from: EARLIER.run, rows: [0, 1, 2, 3, 4], changed: new Set([1]) },
}
const PROGRAMS = ['psql', 'python', 'curl', 'hf', 'vespa']

test.each(EXPORT_LAYOUT_NAMES)(
  'the commands of LOAD.md for %s give their programs whole arguments',
  async layout => {
    const bin = join(folder.path, `bin-${layout}`)
    await mkdir(bin)
    for (const program of PROGRAMS) {
      const path = join(bin, program)
      await writeFile(
        path,
        `#!/bin/sh\nprintf '%s\\0' ${program} "$#" "$@" >> "$RECORD"\ncat > /dev/null\n[ ${program} = curl ] && printf '{"errors":false}'\nexit 0\n`,
      )
      await chmod(path, 0o755)
    }
    // Half of the names in the commands of a whole run, half in those of an export since a run.
    for (const [i, name] of HOSTILE.entries()) {
      const place = join(folder.path, `${layout} ${i} ${name.replaceAll('/', '_')}`)
      const { commands, target } = await exportTo(layout, name, place, i % 2 === 0)
      const record = join(folder.path, `record-${layout}-${i}`)
      const work = join(folder.path, `work-${layout}-${i}`)
      await mkdir(work)
      // Placeholders such as <elasticsearch> are for the user to fill in.
      const { status, stderr } = spawnSync('sh', ['-e', '-c', commands], {
        cwd: work,
        env: { PATH: `${bin}:${process.env.PATH}`, RECORD: record },
        encoding: 'utf8',
        input: '',
      })
      expect({ status, stderr }, commands).toEqual({ status: 0, stderr: '' })
      expect(await readdir(work)).toEqual([])
      const given = (await readFile(record, 'utf8')).split('\0')
      // The others read their files from stdin, or from the bucket of the user.
      const isNamed = i % 2 === 0 ? layout !== 'pgvector' : layout !== 'milvus'
      if (isNamed)
        expect(
          given.some(word => word.includes(target) || word.includes(JSON.stringify(target).slice(1, -1))),
        ).toBe(true)
    }
  },
)

async function exportTo(layout: ExportLayoutName, name: string, place: string, isDelta: boolean) {
  const store = memoryStore()
  const { manifest } = await makeRun(store, LATER)
  await using target = await openStore(place, { create: true })
  // Vespa and Pinecone allow no such names, for a schema and for a folder.
  const given = layout === 'vespa' || layout === 'pinecone' ? 'wiki' : name
  const model = { ...manifest.model, id: name, revision: name }
  const since = isDelta ? (await makeRun(store, EARLIER)).manifest : undefined
  const options = { layout, name: given, since }
  const { loadCommands } = await exportRun(store, { ...manifest, model }, target, options)
  const page = await readFile(join(place, 'LOAD.md'), 'utf8')
  const [, fence = '', commands = ''] = /^(`{3,})sh\n(.*)\n\1$/ms.exec(page) ?? []
  expect(fence).not.toBe('')
  expect(commands).toBe(loadCommands)
  return { commands, target: target.url }
}
