// Measures the next version of a corpus of twenty files in a folder, when one document in 120 of
// some of the files was edited: seconds of the whole command, bytes written, rows embedded.
//
//   node --conditions=@reembed/source bench/carry.ts [documents = 1000000] [dimensions = 384]
//
// Checks that every vector of an unedited document is bit-identical, and the number of reused rows.
// Not measured: S3, a real model.

import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEndpoint } from '@reembed/local'
import { expectSame, runCommand } from './next-version.ts'

const documents = Number(process.argv[2] ?? 1_000_000)
const dimensions = Number(process.argv[3] ?? 384)
const FILES = 20
const EVERY = 120
const perFile = Math.floor(documents / FILES)
const folder = await mkdtemp(join(tmpdir(), 'reembed-carry-'))
const [source, output] = [join(folder, 'corpus'), join(folder, 'vectors')]
/** The edition of each file. */
const editions: number[] = new Array(FILES).fill(0)

const isEdited = (i: number): boolean => i % EVERY === 0 && (editions[Math.floor(i / perFile)] ?? 0) > 0

await using endpoint = await startEndpoint({ engine: 'hash', hash: { dimensions } })
const given = ['--source', source, '--output', output, '--endpoint', endpoint.url]
try {
  await mkdir(source)
  for (let file = 0; file < FILES; file += 1) await write(file)
  print(`| ${documents.toLocaleString('en-US')} documents | embedded | s | MiB written |`)
  print('|---|---|---|---|')
  let before = await version('first version')
  for (const [name, files] of [
    ['1 of 20 files edited', 1],
    ['2 of 20', 2],
    ['10 of 20', 10],
  ] as const) {
    for (let file = 0; file < files; file += 1) {
      editions[file] = (editions[file] ?? 0) + 1
      await write(file)
    }
    const after = await version(name)
    await expectSame(output, [before, after], i => i % EVERY === 0 && i < files * perFile)
    before = after
  }
} finally {
  await rm(folder, { recursive: true, force: true })
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

async function write(file: number): Promise<void> {
  const edition = editions[file] ?? 0
  const lines = Array.from({ length: perFile }, (_, at) => {
    const i = file * perFile + at
    const text = `document ${i} is about topic ${i % 977}${isEdited(i) ? `, edition ${edition}` : ''}`
    return `${JSON.stringify({ id: `d${i}`, text })}\n`
  })
  await writeFile(join(source, `part-${String(file).padStart(2, '0')}.jsonl`), lines.join(''))
}

async function version(name: string): Promise<string> {
  const known = await inodes()
  const startedMs = performance.now()
  const { run, totals } = await runCommand(given)
  const seconds = (performance.now() - startedMs) / 1000
  if (totals.rows !== perFile * FILES) throw new Error(`${name}: ${totals.rows} rows`)
  const written = [...(await inodes())].filter(([inode]) => !known.has(inode))
  const bytes = written.reduce((sum, [, size]) => sum + size, 0)
  const embedded = totals.rows - (totals.reused ?? 0)
  print(
    `| ${name} | ${embedded.toLocaleString('en-US')} | ${seconds.toFixed(1)} | ${(bytes / 2 ** 20).toFixed(1)} |`,
  )
  return run
}

/** Size of every file of the output by its inode: a carried shard has that of its base. */
async function inodes(): Promise<Map<number, number>> {
  const entries = await readdir(output, { recursive: true, withFileTypes: true }).catch(() => [])
  const files = entries.filter(entry => entry.isFile())
  const found = new Map<number, number>()
  for (const { parentPath, name } of files) {
    const { ino, size } = await stat(join(parentPath, name))
    found.set(ino, size)
  }
  return found
}
