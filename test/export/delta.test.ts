// The rows that changed between two versions, as a list and as an export that a store applies.

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openStore } from '@reembed/store'
import { type FakeTei, startFakeTei } from '@reembed/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { flags, temporaryFolder, writeJsonl } from '../parts/cli.ts'
import { inProcess } from '../parts/in-process.ts'

interface Line {
  readonly id: string
  readonly text: string
  readonly lang: string
}

let tei: FakeTei
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let output: string
const COUNT = 60
const line = (i: number): Line => ({ id: `d${i}`, text: `document ${i}`, lang: 'en' })

async function command(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await inProcess([...args, '--output', output])
  expect(code, stderr).toBe(0)
  return stdout
}

const made = (...more: readonly string[]): Promise<string> =>
  command(
    'run',
    ...more,
    ...flags({
      source: join(folder.path, 'corpus'),
      endpoint: tei.url,
      carry: 'lang',
      'documents-per-shard': '20',
    }),
    '--json',
  )

beforeAll(async () => {
  folder = await temporaryFolder()
  tei = await startFakeTei({ dimensions: 8, sha: 'one' })
  output = join(folder.path, 'vectors')
  await mkdir(join(folder.path, 'corpus'))
  const [a, b] = [join(folder.path, 'corpus', 'a.jsonl'), join(folder.path, 'corpus', 'b.jsonl')]
  const lines = Array.from({ length: COUNT }, (_, i) => line(i))
  await writeJsonl(a, lines)
  await writeJsonl(
    b,
    lines.map(({ id, ...rest }) => ({ ...rest, id: `b-${id}` })),
  )
  await made()
  // d0 to d2 are removed, d3 has another text, d4 another language, n0 and n1 are new.
  const edited = lines.slice(3).map(one => {
    if (one.id === 'd3') return { ...one, text: 'document 3, edited' }
    return one.id === 'd4' ? { ...one, lang: 'fr' } : one
  })
  await writeJsonl(a, [...edited, { ...line(0), id: 'n0' }, { ...line(1), id: 'n1' }])
  await made()
})
afterAll(async () => {
  for (const part of [tei, folder]) await part[Symbol.asyncDispose]()
})

test('diff --changes lists each id that was added, changed or removed, and never overwrites a file', async () => {
  const file = join(folder.path, 'changes.tsv')
  expect(await command('diff', '1', '2', '--changes', file)).toContain('2 added, 2 changed, 3 removed')
  expect((await readFile(file, 'utf8')).trimEnd().split('\n').sort()).toEqual([
    'added\t"n0"',
    'added\t"n1"',
    'changed\t"d3"',
    'changed\t"d4"',
    'removed\t"d0"',
    'removed\t"d1"',
    'removed\t"d2"',
  ])
  await writeFile(file, 'kept')
  expect((await inProcess(['diff', '1', '2', '--changes', file, '--output', output])).code).not.toBe(0)
  expect(await readFile(file, 'utf8')).toBe('kept')
})

test('the command for a report that diff prints takes the same versions', async () => {
  expect(await command('diff', '1', '2')).toContain(`reembed report 1 2 --output ${output}`)
  expect(await command('report', '1', '2', '--to', '-')).toMatch(/^## [a-z2-7]{12} → [a-z2-7]{12}\n/)
})

/** The documents of an export for Elasticsearch, and the ids that it deletes. */
async function exported(
  name: string,
  ...args: string[]
): Promise<{ rows: Map<string, string>; deletes: string[] }> {
  const to = join(folder.path, name)
  await command('export', '--layout', 'elasticsearch', '--to', to, ...args)
  await using store = await openStore(to)
  const [rows, deletes]: [Map<string, string>, string[]] = [new Map(), []]
  for await (const { key } of store.list('')) {
    const lines = Buffer.from(await store.get(key))
      .toString()
      .trimEnd()
      .split('\n')
    if (key.startsWith('deletes/')) deletes.push(...lines.map(one => JSON.parse(one).id))
    if (!key.startsWith('data/')) continue
    for (let i = 0; i < lines.length; i += 2)
      rows.set(JSON.parse(lines[i] ?? '').index._id, lines[i + 1] ?? '')
  }
  return { rows, deletes }
}

test('a store that holds version 1 and applies the export since version 1 holds version 2', async () => {
  const [first, second] = [await exported('one', await runOf('1')), await exported('two')]
  const delta = await exported('delta', '--since', '1')
  expect([...delta.rows.keys()].sort()).toEqual(['d3', 'd4', 'n0', 'n1'])
  expect(delta.deletes.sort()).toEqual(['d0', 'd1', 'd2', 'd3', 'd4'])
  const applied = new Map(first.rows)
  for (const id of delta.deletes) applied.delete(id)
  for (const [id, row] of delta.rows) applied.set(id, row)
  expect([...applied].sort()).toEqual([...second.rows].sort())
  expect(await readFile(join(folder.path, 'delta', 'LOAD.md'), 'utf8')).toMatch(
    /^# Load\n\n4 vectors[\s\S]*First delete the 5 ids in `deletes\/\*\.jsonl`/,
  )
})

test.each([
  ['2', 'another model', async () => await tei.stop().then(() => tei.start({ sha: 'two' })), []],
  ['3', 'other columns', async () => {}, ['--include-text']],
] as const)(
  'an export since version %s with %s is refused before anything is written',
  async (version, _, change, more) => {
    await change()
    const before = await runOf(version)
    const run = JSON.parse(await made(...more)).run
    const to = join(folder.path, `refused-${run}`)
    const args = ['export', '--layout', 'elasticsearch', '--to', to, '--since', version, '--output', output]
    const { code, stderr } = await inProcess(args)
    expect(code).toBe(2)
    expect(stderr).toMatch(
      new RegExp(`run ${run} has another recipe.* than run ${before}.*whole run.*--since`, 's'),
    )
    expect(await readdir(to)).toEqual([])
  },
)

async function runOf(version: string): Promise<string> {
  const versions = JSON.parse(await command('versions', '--json')) as { version: number; run: string }[]
  return versions.find(one => String(one.version) === version)?.run ?? ''
}
