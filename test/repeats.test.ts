// Texts that occur more than once in a run are embedded once where a worker still has the vector.

import { join } from 'node:path'
import { verify } from '@reembed/evaluate'
import { createHashEngine, serveTei } from '@reembed/local'
import { openCorpus, planCorpus } from '@reembed/planner'
import { openStore } from '@reembed/store'
import { expect, test } from 'vitest'
import { temporaryFolder, writeJsonl } from './parts/cli.ts'
import { carryOut, vectorsOf } from './parts/make-run.ts'

const TEXTS = 50
const DOCUMENTS = 6_000

/** The number of times that each text was embedded, with the rows and what `verify` reads. */
async function embed(textOf: (i: number) => string, limit = 512, count = DOCUMENTS) {
  await using folder = await temporaryFolder()
  const sent = new Map<string, number>()
  await using tei = await serveTei({
    engine: createHashEngine({ dimensions: 8, maxInputLength: limit }),
    intercept({ inputs }) {
      for (const text of inputs) sent.set(String(text), (sent.get(String(text)) ?? 0) + 1)
      return undefined
    },
  })
  const documents = Array.from({ length: count }, (_, i) => ({ id: `d${i}`, text: textOf(i) }))
  const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents)
  const output = join(folder.path, 'vectors')
  await using store = await openStore(output, { create: true })
  await using corpus = await openCorpus(source)
  const planned = await planCorpus(
    corpus,
    { url: tei.url, options: {} },
    { documentsPerShard: Math.max(2_000, count / 2) },
    { output: store },
  )
  sent.clear()
  const { plan, manifest } = await carryOut(store, planned, tei.url)
  const rows = await vectorsOf(output, plan.run)
  const fresh = new Map(documents.map(({ id, text }) => [text, rows.get(id)]))
  expect(documents.every(({ id, text }) => rows.get(id) === fresh.get(text))).toBe(true)
  expect((await verify(store, plan.run)).totals).toEqual(manifest.totals)
  return { times: documents.map(({ text }) => sent.get(text) ?? 0), totals: manifest.totals }
}

test('a text is embedded once in a run, however far its repetitions are apart', async () => {
  const { times, totals } = await embed(i => `message ${i % TEXTS}`)
  // Two windows are embedded at a time, and a third is read meanwhile.
  expect(Math.max(...times)).toBeLessThanOrEqual(3)
  expect(totals).toMatchObject({ rows: DOCUMENTS, rejects: 0 })
  expect(totals.reused).toBeGreaterThanOrEqual(DOCUMENTS - 3 * TEXTS)
})

test('rows wait for no window that a corpus of one text never fills', async () => {
  const { times, totals } = await embed(() => 'the same', 512, 40_000)
  // Each 8,192 rows that wait are followed by windows in which the text is sent once.
  expect(times[0]).toBeGreaterThan(3)
  expect(totals).toMatchObject({ rows: 40_000, rejects: 0 })
})

test('a text that the model may cut is embedded in each window, so that what it cuts is counted', async () => {
  const { times, totals } = await embed(i => `message ${i % TEXTS} ${'and more '.repeat(5)}`, 32)
  expect(Math.min(...times)).toBeGreaterThan(3)
  expect(totals.truncated).toBe(0)
})
