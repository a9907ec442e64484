// Patterns of sources against names of objects that make their regular expression backtrack.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openCorpus } from '../src/open-corpus.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-globs-'))
  await writeFile(join(folder, `${'a'.repeat(240)}.jsonl`), '{"id":"a","text":"t"}\n')
})
afterEach(() => rm(folder, { recursive: true }))

test.each(['*a*a*a*a*a*b.jsonl', 'a*+(a|aa)+(a|aa)b.jsonl'])(
  'a source whose pattern %s backtracks is refused in time, with the object',
  async pattern => {
    await using corpus = await openCorpus(join(folder, pattern))
    const startedMs = performance.now()
    await expect(Array.fromAsync(corpus.objects())).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(/the pattern '.*' takes more than 1 s for the object "a+\.jsonl"/),
    })
    expect(performance.now() - startedMs).toBeLessThan(20_000)
  },
)

test.each(['*a*a.jsonl', '**/*a*', '{a,b}*', '**/a*a*a*.jsonl'])(
  'a source of the pattern %s has its object',
  async pattern => {
    await using corpus = await openCorpus(join(folder, pattern))
    expect(await Array.fromAsync(corpus.objects())).toHaveLength(1)
  },
)

test('a source of more objects than are matched at once has all that match, in order', async () => {
  const names = Array.from({ length: 1_100 }, (_, i) => `b${i + 1_000}.${i % 2 ? 'jsonl' : 'txt'}`)
  await Promise.all(names.map(name => writeFile(join(folder, name), '{"id":"a","text":"t"}\n')))
  await using corpus = await openCorpus(join(folder, 'b*.{jsonl,gz}'))
  const found = await Array.fromAsync(corpus.objects(), ({ key }) => key)
  expect(found).toEqual(names.filter(name => name.endsWith('.jsonl')))
})
