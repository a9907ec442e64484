// `reembed preview`: compares a new model with the current version on a sample, before a whole run.

import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { serveConsole } from '@reembed/console'
import { readCurrent, readPreviews } from '@reembed/protocol'
import { openStore } from '@reembed/store'
import { type FakeTei, startFakeTei } from '@reembed/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { temporaryFolder, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'

const COUNT = 2_000
const ASKED = 40
let tei: FakeTei
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let source: string
let output: string
let judged: string[]
const text = (i: number): string => `speak of ${i % 7} topic ${i}`

beforeAll(async () => {
  folder = await temporaryFolder()
  tei = await startFakeTei({ dimensions: 16, sha: 'one' })
  source = join(folder.path, 'corpus')
  output = join(folder.path, 'vectors')
  await mkdir(source)
  const ids = Array.from({ length: COUNT }, (_, i) => i)
  await writeJsonl(
    join(source, 'a.jsonl'),
    ids.map(i => ({ id: `d${i}`, text: text(i) })),
  )
  // A good model finds the document with the same words.
  const asked = ids.filter(i => i % (COUNT / ASKED) === 0)
  const [queries, qrels] = [join(folder.path, 'queries.jsonl'), join(folder.path, 'qrels.tsv')]
  await writeJsonl(
    queries,
    asked.map(i => ({ _id: `q${i}`, text: text(i) })),
  )
  await writeFile(qrels, `query-id\tcorpus-id\tscore\n${asked.map(i => `q${i}\td${i}\t1\n`).join('')}`)
  judged = ['--gate-queries', queries, '--gate-qrels', qrels]
  const gate = ['--gate', 'recall@10 min 0.5', ...judged]
  const ran = await inProcess(['run', ...common(), ...gate])
  expect(ran.code, ran.stderr).toBe(0)
})
afterAll(async () => {
  for (const part of [tei, folder]) await part[Symbol.asyncDispose]()
})

const common = (): string[] => ['--source', source, '--output', output, '--endpoint', tei.url]
const preview = (...args: string[]) => inProcess(['preview', ...common(), ...args])

async function serve(changes: Parameters<FakeTei['start']>[0]): Promise<void> {
  await tei.stop()
  await tei.start(changes)
}

/** Different documents of the corpus that were sent during `work`. */
async function documentsSent(work: () => Promise<void>): Promise<number> {
  const sent = new Set<string>()
  tei.faults.request = ({ inputs }) => {
    for (const one of inputs) if (String(one).startsWith('speak of ')) sent.add(String(one))
    return undefined
  }
  await work()
  tei.faults.request = undefined
  return sent.size
}

async function keysOf(): Promise<string[]> {
  await using store = await openStore(output)
  const keys: string[] = []
  for await (const { key } of store.list('')) keys.push(key)
  return keys
}

test('P-PREVIEW: a new model is compared with the current version on a sample that includes the answers; nothing is written', async () => {
  const before = await keysOf()
  await serve({ sha: 'two' })
  const sent = await documentsSent(async () => {
    const { code, stdout, stderr } = await preview('--json', '--price-per-hour', '1', ...judged)
    expect(code, stderr).toBe(0)
    const report = JSON.parse(stdout)
    expect(report).toMatchObject({
      model: { revision: 'two' },
      unknown: 0,
      refused: 0,
      queries: 200,
      cosine: null,
      health: [{ rows: COUNT, repeatedVectors: 0 }, { repeatedVectors: 0 }],
      // Both models find every answer: the answers are always compared, in addition to the sample.
      scores: { 'recall@10': { before: 1, after: 1 }, 'ndcg@10': { before: 1, after: 1 } },
      missingAnswers: 0,
      reuse: { baseRun: null },
    })
    expect(report.sampled).toBeGreaterThan(450)
    expect(report.sampled).toBeLessThan(600)
    expect(report.documents).toBeGreaterThan(report.sampled)
    expect(report.documents).toBeLessThanOrEqual(report.sampled + ASKED)
    // The vectors of two revisions of this model are unrelated.
    expect(report.overlap).toBeLessThan(0.3)
    // The estimate covers the whole corpus, because vectors of another revision cannot be reused.
    expect(report.reuse.toEmbed).toBeGreaterThan(0.9 * COUNT)
    expect(report.quote.dollars).toBeGreaterThan(0)
  })
  expect(sent).toBeLessThan(COUNT / 2)
  expect(await keysOf()).toEqual(before)
})

test('P-PREVIEW: a worse model is reported with both figures; the current model shows no difference', async () => {
  // It reads only four words, and these are the same in every seventh document.
  await serve({ sha: 'three', maxInputLength: 4 })
  const worse = await preview(...judged)
  expect(worse.code, worse.stderr).toBe(0)
  expect(worse.stdout).toMatch(
    /recall@10 +1\.000 → 0\.\d{3} \(-0\.\d{3}; 95 % interval -[01]\.\d{3} to -0\.\d{3}\) over 40 queries within the sample/,
  )
  expect(worse.stdout).toMatch(/new .*@three .* [1-9]\d* repeated vectors/)
  await serve({ sha: 'one', maxInputLength: 512 })
  const same = await preview('--json', '--sample', '60')
  expect(same.code, same.stderr).toBe(0)
  const report = JSON.parse(same.stdout)
  expect(report.sampled).toBeLessThanOrEqual(64)
  expect(report).toMatchObject({ overlap: 1, scores: null, reuse: { toEmbed: 0 }, quote: { tokens: 0 } })
  expect(report.cosine.min).toBeCloseTo(1, 5)
  const text = (await preview('--sample', '60')).stdout
  expect(text).toMatch(/changed most +no document lost a neighbour/)
  expect(text).toMatch(/tokens +about 0 \(every sampled text already has its vector\)/)
})

test('a preview that cannot run is refused in one line', async () => {
  const refused = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await preview(...args)
    expect(code, stderr).toBe(2)
    return stderr
  }
  expect(await refused('--sample', '0%')).toMatch(
    /^reembed: .*--sample.*share like '1%' or a count like '2000'/,
  )
  expect(await refused('--sample', '5')).toMatch(
    /^reembed: \d of \d sampled documents are in run \w+, too few to compare 10 neighbours: raise the sample or lower the number of neighbours \(--sample, --top/,
  )
  expect(await refused('--gate-queries', 'queries.jsonl')).toBe(
    'reembed: --gate-queries and --gate-qrels need each other: give both\n',
  )
  const elsewhere = join(folder.path, 'nothing-yet')
  const at = ['preview', '--source', source, '--output', elsewhere, '--endpoint', tei.url]
  const missing = await inProcess(at)
  expect([missing.code, missing.stderr]).toEqual([2, expect.stringMatching(/^reembed: .*nothing-yet.*\n$/)])
  await mkdir(elsewhere)
  const nothing = await inProcess(at)
  expect([nothing.code, nothing.stderr]).toEqual([
    2,
    expect.stringMatching(/^reembed: nothing is published in .*nothing-yet/),
  ])
})

test('documents of the qrels that are not in the corpus are counted', async () => {
  const qrels = join(folder.path, 'unknown.tsv')
  await writeFile(qrels, 'query-id\tcorpus-id\tscore\nq0\td0\t1\nq50\tgone\t1\n')
  await appendFile(qrels, 'q100\talso gone\t1\n')
  const args = ['--sample', '60', judged[0] ?? '', judged[1] ?? '', '--gate-qrels', qrels]
  const { code, stdout, stderr } = await preview(...args)
  expect(code, stderr).toBe(0)
  expect(stdout).toMatch(/qrels +2 of 3 judged documents are not in the current version/)
  expect(stdout).toMatch(/recall@10 +0\.333 over 3 queries .*run \w+ was planned without these queries/)
})

test('a recorded preview is read back by others: its model, the actor, the queries that got worse, and what thresholds become', async () => {
  await serve({ sha: 'two', maxInputLength: 4 })
  const shown = await preview(...judged, '--record')
  expect(shown.code, shown.stderr).toBe(0)
  expect(shown.stderr).toMatch(/^recorded {2}as preview 1 of run \w+: the page Compare of/m)
  await using store = await openStore(output)
  const run = (await readCurrent(store))?.run ?? ''
  const [recorded, ...others] = await readPreviews(store, run, 10)
  expect(others).toEqual([])
  expect(recorded).toMatchObject({ number: 1, run, model: { revision: 'two' }, thresholdsBy: 'queries' })
  expect(recorded?.by).toMatch(/@/)
  expect(recorded?.judged?.worse).toBeGreaterThan(10)
  const [worst] = recorded?.judged?.changes ?? []
  expect(worst?.before.ndcg).toBe(1)
  expect(worst?.after.ndcg).toBeLessThan(1)
  expect(worst?.after.answers).toHaveLength(10)
  // Ids and queries, no text of a document beyond them.
  expect(worst?.text).toMatch(/^speak of/)
  // The next one gets the next number, and does not replace the first.
  expect((await preview('--sample', '60', '--record')).code).toBe(0)
  expect((await readPreviews(store, run, 10)).map(({ number }) => number)).toEqual([2, 1])
  await using pages = await serveConsole({ stores: [store], listen: '0' })
  const pageOf = async (path: string): Promise<string> => (await fetch(pages.url + path)).text()
  await expect.poll(() => pageOf('/compare')).toContain('<option value="preview-1">preview 1 ')
  const page = await pageOf(`/compare?a=${run}&b=preview-1`)
  expect(page).toContain('Preview of reembed/hash@two')
  expect(page).toMatch(/nDCG@10 1\.000 → 0\.\d+ .*of the 10 nearest documents are the same/)
  expect(page).toContain(worst?.text)
  expect(page).toContain('Score thresholds')
  expect(page).toContain('<option value="preview-1" selected>')
})

test('a preview is written as one HTML file or as Markdown, and prints the same figures', async () => {
  await serve({ sha: 'one' })
  for (const name of ['preview.html', 'preview.md']) {
    const to = join(folder.path, name)
    const shown = await preview('--sample', '600', ...judged, '--to', to)
    expect(shown.code, shown.stderr).toBe(0)
    expect(shown.stderr).toContain(`report    ${to}`)
    const report = await readFile(to, 'utf8')
    expect(report).toContain('Preview of reembed/hash@one')
    expect(report).toMatch(/recall@10/)
    expect(report).toMatch(/compared with run \w+/)
    expect(report).toContain('Queries that got worse')
    expect(report).toContain('Score thresholds')
    expect(report).not.toMatch(/<script/)
  }
})
