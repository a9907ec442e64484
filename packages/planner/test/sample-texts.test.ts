// The texts by which tokens are measured: few, and small whatever the documents.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { inspectCorpus } from '../src/inspect-corpus.ts'
import { openCorpus } from '../src/open-corpus.ts'
import { sampleTexts } from '../src/sample-texts.ts'

const CHARACTERS = 16 * 1024
const MIB = 2 ** 20
let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-sample-'))
})
afterEach(() => rm(folder, { recursive: true }))

async function sampled(): Promise<string[]> {
  await using corpus = await openCorpus(folder)
  return sampleTexts(corpus.store, await inspectCorpus(corpus, {}), {})
}

test('sampled texts keep nothing of the documents behind their beginnings in memory', async () => {
  const files = 4
  for (let i = 0; i < files; i += 1)
    await writeFile(join(folder, `${i}.md`), `# ${i}\n\n${'Owls hunt at night. '.repeat(400_000)}`)
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const held = (): number => {
    collect()
    const { heapUsed, external } = process.memoryUsage()
    return heapUsed + external
  }
  const before = held()
  const texts = await sampled()
  // One collection may leave what a call that has just ended refers to.
  await expect.poll(() => held() - before).toBeLessThan(8 * MIB)
  expect(texts.map(text => text.length)).toEqual(Array(files).fill(CHARACTERS))
  expect(texts[0]).toMatch(/^# 0\n\nOwls hunt at night\. /)
})

test('records that are rejects take no room of the texts, and are read up to a bound', async () => {
  const lines = Array.from({ length: 200 }, (_, i) =>
    JSON.stringify(i % 2 === 0 ? { id: `d${i}`, text: `${'x'.repeat(100)}${i}` } : { id: `d${i}`, text: '' }),
  )
  await writeFile(join(folder, 'a.jsonl'), `${lines.join('\n')}\n`)
  expect((await sampled()).filter(text => text !== '')).toHaveLength(32)
})
