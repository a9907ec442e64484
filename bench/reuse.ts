// Measures the next version of a corpus: unchanged, 1 % of the documents edited, other columns.
// Each runs by the command, with plan, private Redis, shards, finalize and publish.
//
//   node --conditions=@reembed/source bench/reuse.ts [documents = 1000000] [dimensions = 384]
//
// Checks: texts as the server counts them (less those that prove its model), rows and reused rows
// of each manifest, and that vectors of unchanged documents are bit-identical. Not measured: S3
// (the output is a folder), a real model.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEndpoint } from '@reembed/local'
import { expectSame, type Outcome, runCommand } from './next-version.ts'

const documents = Number(process.argv[2] ?? 1_000_000)
const dimensions = Number(process.argv[3] ?? 384)
const FILES = 100
const perFile = Math.floor(documents / FILES)
/** Canaries and the texts that identify a model. */
const PROOF = 0.045
const folder = await mkdtemp(join(tmpdir(), 'reembed-reuse-'))
const [source, output] = [join(folder, 'corpus'), join(folder, 'vectors')]
const kept = new Map<number, string>()

await using endpoint = await startEndpoint({ engine: 'hash', hash: { dimensions } })
const given = ['--source', source, '--output', output, '--endpoint', endpoint.url]
try {
  await mkdir(source)
  await writeCorpus(() => false)
  const rows: string[][] = []
  const first = await measured('first version', [], documents)
  await measured('the same again', [], documents)
  await writeCorpus(i => i % 100 === 0)
  const spread = await measured('1 % edited, in every file', [], documents / 100)
  await expectSame(output, [first.run, spread.run], i => i % 100 === 0)
  await writeCorpus(i => i % 100 === 0 || i < perFile)
  const one = await measured('one file of a hundred rewritten', [], perFile - perFile / 100)
  await expectSame(output, [spread.run, one.run], i => i < perFile)
  await measured('another column carried', ['--carry', 'year'], 0)

  console.log(
    `| ${documents.toLocaleString('en-US')} documents, ${dimensions} dimensions | texts embedded | reused | s |`,
  )
  console.log('|---|---|---|---|')
  for (const row of rows) console.log(`| ${row.join(' | ')} |`)

  /**
   * Checks that `expected` documents were embedded, within the number of texts that prove the
   * model.
   */
  async function measured(name: string, more: readonly string[], expected: number): Promise<Outcome> {
    const before = await textsCounted()
    const startedMs = performance.now()
    const outcome = await runCommand([...given, ...more])
    const seconds = (performance.now() - startedMs) / 1000
    const texts = (await textsCounted()) - before
    const { rows: made, reused = 0 } = outcome.totals
    if (made !== perFile * FILES) throw new Error(`${name}: ${made} rows`)
    const fresh = name === 'the same again' ? 0 : made - reused
    if (name !== 'the same again' && fresh !== Math.round(expected)) {
      throw new Error(`${name}: ${fresh} documents embedded, expected ${expected}`)
    }
    if (texts > fresh * (1 + PROOF) + 512) throw new Error(`${name}: the server counted ${texts} texts`)
    rows.push([
      name,
      fresh.toLocaleString('en-US'),
      (made - fresh).toLocaleString('en-US'),
      seconds.toFixed(1),
    ])
    return outcome
  }
} finally {
  await rm(folder, { recursive: true, force: true })
}

async function textsCounted(): Promise<number> {
  const metrics = await (await fetch(`${endpoint.url}/metrics`)).text()
  return Number(/^te_embed_count(?:\{[^}]*\})? (\d+)/m.exec(metrics)?.[1] ?? 0)
}

async function writeCorpus(isEdited: (i: number) => boolean): Promise<void> {
  for (let file = 0; file < FILES; file += 1) {
    const lines = Array.from({ length: perFile }, (_, at) => {
      const i = file * perFile + at
      const text = `document ${i} is about topic ${i % 977}${isEdited(i) ? ', edited' : ''}`
      return `${JSON.stringify({ id: `d${i}`, text, year: 1900 + (i % 120) })}\n`
    }).join('')
    // A rewritten file is another object version. The other files must not change.
    if (kept.get(file) !== lines)
      await writeFile(join(source, `part-${String(file).padStart(3, '0')}.jsonl`), lines)
    kept.set(file, lines)
  }
}
