// The commands of LOAD.md of an export since an earlier run, run by a shell one after another: the
// whole run, the difference, and the consumer then holds the later run. PostgreSQL is PGlite behind
// a `psql` that records, Elasticsearch a server of `_bulk`, Vespa a `vespa` that records.
// load-pages.test.ts runs those that need other programs.

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { delimiter, dirname, join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { PGlite } from '@electric-sql/pglite'
import { vector } from '@electric-sql/pglite-pgvector'
import { EXPORT_LAYOUT_NAMES, type ExportLayoutName, exportRun } from '@reembed/export'
import type { Manifest } from '@reembed/protocol'
import { openStore } from '@reembed/store'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { temporaryFolder } from '../parts/cli.ts'
import { answers, lackOfModules, PYTHON, testUnless } from '../parts/needs.ts'
import { memoryStore } from '../shard/parts.ts'
import { type MadeRun, makeRun } from './run.ts'

const [OLD, NEXT, LESS] = ['a', 'b', 'c'].map(letter => letter.repeat(26)) as [string, string, string]
const ROWS = Array.from({ length: 60 }, (_, row) => row)
/** The id of a removed row: quotes of SQL, JSON and the shell, a Han character beyond U+FFFF. */
const REMOVED_ID = `it's "3" \\ $HOME\n&\u{20bb7}`

const source = memoryStore()
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let old: MadeRun
/** Row 3 is removed, row 7 changed, rows 60 and 61 added. */
let next: MadeRun
/** Row 9 is removed, and nothing else. */
let less: MadeRun
beforeAll(async () => {
  folder = await temporaryFolder()
  const edit = (row: number) => (row === 3 ? { id: REMOVED_ID } : {})
  old = await makeRun(source, { run: OLD, dimensions: 8, rows: 20, edit })
  const kept = ROWS.filter(row => row !== 3)
  const later = { from: OLD, rows: [...kept, 60, 61], changed: new Set([7]) }
  next = await makeRun(source, { run: NEXT, dimensions: 8, shards: 1, rows: 61, later })
  const removed = { from: OLD, rows: ROWS.filter(row => row !== 9), changed: new Set<number>() }
  less = await makeRun(source, { run: LESS, dimensions: 8, shards: 1, rows: 59, later: removed, edit })
})
afterAll(() => folder[Symbol.asyncDispose]())

async function commandsOf(
  layout: ExportLayoutName,
  { manifest }: MadeRun,
  since?: Manifest,
): Promise<string> {
  const path = join(folder.path, `${layout} ${manifest.run} ${since?.run ?? ''}`)
  await using target = await openStore(path, { create: true })
  const name = layout.startsWith('pinecone') ? 'wiki' : undefined
  return (await exportRun(source, manifest, target, { layout, since, name })).loadCommands
}

/** Runs commands with `program` in place of another one: a script of `sh`. */
async function shell(commands: string, program: string, script: string): Promise<void> {
  const bin = join(folder.path, `bin-${program}`)
  await mkdir(bin, { recursive: true })
  await writeFile(join(bin, program), `#!/bin/sh\n${script}`)
  await chmod(join(bin, program), 0o755)
  const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` }
  await promisify(execFile)('sh', ['-c', commands], { env })
}

/** What only the first load of a name does: create it, or import into what does not exist yet. */
const FIRST_ALONE =
  /create_table|CREATE TABLE|schema\.sql|index\.sql|-X PUT|bulk_import|start_import|hf upload|# first/
const NOTHING_TO_LOAD_INTO: readonly ExportLayoutName[] = ['npy', 'arrow']

test.each(EXPORT_LAYOUT_NAMES)(
  'the commands of %s since a run create nothing, delete where something is deleted, and load where something is loaded',
  async layout => {
    const has = (text: string): boolean => /deletes/.test(text)
    const whole = await commandsOf(layout, next)
    expect(has(whole)).toBe(false)
    if (!NOTHING_TO_LOAD_INTO.includes(layout)) expect(whole).toMatch(FIRST_ALONE)
    const both = await commandsOf(layout, next, old.manifest)
    expect(both).not.toMatch(FIRST_ALONE)
    expect(has(both)).toBe(true)
    expect(both).toMatch(/\/data|data\/\*|\/embeddings|load_dataset/)
    const removal = await commandsOf(layout, less, old.manifest)
    expect(has(removal)).toBe(true)
    if (!NOTHING_TO_LOAD_INTO.includes(layout)) expect(removal).not.toMatch(/\/data|data\/\*/)
    // Nothing is different.
    const same = await commandsOf(layout, old, old.manifest)
    expect(same).not.toMatch(FIRST_ALONE)
    if (!NOTHING_TO_LOAD_INTO.includes(layout)) expect(same).not.toMatch(/deletes|\/data|data\/\*/)
  },
)

test.each(EXPORT_LAYOUT_NAMES)(
  'the commands of %s end with the first that fails, without an option of the shell',
  async layout => {
    const bin = join(folder.path, `failing-${layout}`)
    await mkdir(bin)
    for (const program of ['psql', 'python', 'curl', 'hf', 'vespa']) {
      await writeFile(join(bin, program), `#!/bin/sh\necho ${program} >> '${bin}/called'\nexit 1\n`)
      await chmod(join(bin, program), 0o755)
    }
    for (const since of [undefined, old.manifest]) {
      await writeFile(join(bin, 'called'), '')
      const commands = await commandsOf(layout, next, since)
      const env = { ...process.env, PATH: `${bin}:${process.env.PATH}` }
      await expect(promisify(execFile)('sh', ['-c', commands], { env }), commands).rejects.toThrow()
      expect((await readFile(join(bin, 'called'), 'utf8')).match(/\w+/g), commands).toHaveLength(1)
    }
  },
)

test.each([
  ['int8 vectors', { layout: 'hf', quantize: ['int8'] }, /other ranges.*whole run/],
  ['Pinecone without a namespace', { layout: 'pinecone' }, /namespace of Pinecone that holds run a{26}/],
  ['documents of Pinecone without one', { layout: 'pinecone-documents' }, /namespace of Pinecone/],
] as const)('an export since a run is refused for %s', async (_, request, message) => {
  const target = memoryStore()
  await expect(exportRun(source, next.manifest, target, { ...request, since: old.manifest })).rejects.toThrow(
    message,
  )
  expect([...target.objects]).toEqual([])
})

test('PostgreSQL that runs the commands of a run, and those since that run, holds the later run', async () => {
  await using stack = new AsyncDisposableStack()
  const postgres = stack.adopt(await PGlite.create({ extensions: { vector } }), client => client.close())
  const run = async (sql: string): Promise<unknown> => postgres.exec(sql)
  async function copy(command: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const text = command.replace('\\', '').replace(/FROM (pstdin|'[^']*')/, "FROM '/dev/blob'")
    await postgres.query(text, [], { blob: new Blob([bytes]) })
  }
  /** A script as psql reads it: SQL, and lines of `\copy` with files relative to a folder. */
  async function runScript(script: string, at: string): Promise<void> {
    for (const part of script.split(/^(?=\\copy)|(?<=^\\copy.*\n)/m)) {
      const [, file = ''] = /^\\copy .* FROM '([^']*)'/.exec(part) ?? []
      await (file ? copy(part, await readFile(join(at, file))) : run(part))
    }
  }
  async function apply(commands: string): Promise<void> {
    const calls = join(folder.path, `psql-${(await readdir(folder.path)).length}`)
    await mkdir(calls)
    // A call of psql: its folder, its arguments, and its standard input.
    await shell(
      commands,
      'psql',
      `at='${calls}'/$(ls '${calls}' | wc -l | tr -d ' '); mkdir "$at"; printf '%s\\0' "$@" > "$at/arguments"; pwd > "$at/folder"
case "$*" in *pstdin* | *ON_ERROR_STOP=1) cat > "$at/input" ;; esac\n`,
    )
    for (const call of (await readdir(calls)).sort((a, b) => Number(a) - Number(b))) {
      const given = (await readFile(join(calls, call, 'arguments'), 'utf8')).split('\0').slice(0, -1)
      const input = () => readFile(join(calls, call, 'input'))
      if (given.at(-1) === 'ON_ERROR_STOP=1')
        await runScript(`${await input()}`, (await readFile(join(calls, call, 'folder'), 'utf8')).trimEnd())
      for (const [at, argument] of given.entries()) {
        if (given[at - 1] === '-f') await run(await readFile(argument, 'utf8'))
        if (given[at - 1] !== '-c') continue
        await (argument.startsWith('\\copy') ? copy(argument, await input()) : run(argument))
      }
    }
  }
  const read = async (): Promise<Map<string, string>> => {
    const { rows } = await postgres.query<{ id: string; embedding: string }>(
      'SELECT id, embedding FROM embeddings',
    )
    return new Map(rows.map(({ id, embedding }) => [id, embedding]))
  }
  await apply(await commandsOf('pgvector', old))
  const before = await read()
  expect([...before.keys()].sort()).toEqual([...old.ids].sort())
  await apply(await commandsOf('pgvector', next, old.manifest))
  const after = await read()
  expect([...after.keys()].sort()).toEqual([...next.ids].sort())
  await apply(await commandsOf('pgvector', next, old.manifest))
  expect(await read(), 'applied twice equals once').toEqual(after)
  const changed = [...after].filter(([id, vector]) => before.has(id) && before.get(id) !== vector)
  expect(changed.map(([id]) => id)).toEqual([old.ids[7]])
})

testUnless(
  lackOfModules('pyarrow.dataset'),
  'Milvus gets the ids that are deleted in a filter, with the escapes that it knows',
  async () => {
    const modules = join(folder.path, 'modules')
    await mkdir(modules)
    await writeFile(
      join(modules, 'pymilvus.py'),
      `class MilvusClient:
    def __init__(self, at): pass
    def delete(self, name, filter): print(filter)
    def upsert(self, name, rows): pass
`,
    )
    const PATH = [dirname(PYTHON), process.env.PATH].join(delimiter)
    const env = { ...process.env, PATH, PYTHONPATH: modules }
    const commands = await commandsOf('milvus', next, old.manifest)
    const { stdout } = await promisify(execFile)('sh', ['-e', '-c', commands], { env })
    expect(stdout).toContain(String.raw`"it's \"3\" \\ $HOME\n&\U00020bb7"`)
  },
  60_000,
)

testUnless(
  answers('curl', ['--version']) ? undefined : 'curl is missing',
  'Elasticsearch that gets the requests of a run, and those since that run, holds the later run',
  async () => {
    const rows = new Map<string, string>()
    const server = createServer(async (request, response) => {
      const lines = (await buffer(request)).toString().trimEnd().split('\n')
      if (request.url?.includes('/_bulk'))
        for (let at = 0; at < lines.length; at++) {
          const action = JSON.parse(lines[at] ?? '')
          if (action.delete) rows.delete(action.delete._id)
          else rows.set(action.index._id, lines[++at] ?? '')
        }
      response.end('{"errors":false}')
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const place = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const apply = (commands: string) =>
      promisify(execFile)('sh', ['-c', commands.replaceAll('<elasticsearch>', place)])
    await apply(await commandsOf('elasticsearch', old))
    const before = new Map(rows)
    expect([...before.keys()].sort()).toEqual([...old.ids].sort())
    await apply(await commandsOf('elasticsearch', next, old.manifest))
    expect([...rows.keys()].sort()).toEqual([...next.ids].sort())
    const changed = [...rows].filter(([id, row]) => before.has(id) && before.get(id) !== row)
    expect(changed.map(([id]) => id)).toEqual([old.ids[7]])
    server.close()
  },
)

test('vespa feed removes the ids of an export since a run, then puts its rows', async () => {
  const record = join(folder.path, 'vespa.jsonl')
  await shell(await commandsOf('vespa', next, old.manifest), 'vespa', `cat "$2" >> '${record}'\n`)
  const operations = (await readFile(record, 'utf8')).trimEnd().split('\n')
  const [removed, put] = (['remove', 'put'] as const).map(name =>
    operations.flatMap(line => JSON.parse(line)[name] ?? []),
  )
  const ids = (...rows: readonly string[]) => rows.map(id => `id:embeddings:embeddings::${id}`).sort()
  expect(removed?.sort()).toEqual(ids(REMOVED_ID, old.ids[7] ?? ''))
  expect(put?.sort()).toEqual(ids(old.ids[7] ?? '', ...next.ids.slice(-2)))
  expect(operations.findLastIndex(line => line.startsWith('{"remove"'))).toBe(1)
})
