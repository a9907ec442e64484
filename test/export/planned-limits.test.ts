// The limits of what will load a run are checked when it is planned, if reembed.yaml names it.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { consumerOf } from '@reembed/export'
import { createHashEngine, serveTei } from '@reembed/local'
import { openCorpus, planRun } from '@reembed/planner'
import { expect, test } from 'vitest'
import { temporaryFolder } from '../parts/cli.ts'
import { inProcess } from '../parts/in-process.ts'

const model = (dimensions: number) => ({
  id: 'm',
  revision: 'r',
  dimensions,
  pooling: 'mean',
  normalized: true,
})

/** Plans three documents for a consumer. */
async function plan(
  consumer: string,
  dimensions: number,
  row: object = {},
  options: { readonly carry?: readonly string[]; readonly includeText?: boolean } = {},
): Promise<unknown> {
  await using folder = await temporaryFolder()
  const rows = [{ id: 'a', ...row }, { id: 'b' }, { id: 'c' }].map(each => ({
    text: 't',
    lang: 'en',
    ...each,
  }))
  await writeFile(join(folder.path, 'a.jsonl'), rows.map(each => `${JSON.stringify(each)}\n`).join(''))
  await using corpus = await openCorpus(folder.path)
  const { carry, includeText } = options
  return await planRun(corpus, {
    model: model(dimensions),
    carry,
    layout: includeText ? { text: true } : undefined,
    consumers: [consumerOf(consumer)].filter(found => found !== undefined),
  })
}

test.each([
  ['pgvector', 16_001, 'pgvector supports at most 16000 dimensions'],
  ['postgres://app@db/search', 16_001, 'pgvector supports at most 16000 dimensions'],
  ['elasticsearch', 4_097, 'Elasticsearch supports at most 4096 dimensions'],
  ['elasticsearch-base64', 4_097, 'Elasticsearch supports at most 4096 dimensions'],
  ['elasticsearch+https://es/wiki', 4_097, 'Elasticsearch supports at most 4096 dimensions'],
])('%s refuses a plan with %i dimensions', async (consumer, dimensions, message) => {
  await expect(plan(consumer, dimensions)).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining(message),
  })
  await plan(consumer, dimensions - 1)
})

const long = 'x'.repeat(70_000)
test.each<[string, object, string]>([
  ['elasticsearch', { id: 'ü'.repeat(257) }, 'an id of 514 bytes, at most 512'],
  ['opensearch+http://os/wiki', { id: 'ü'.repeat(257) }, 'an id of 514 bytes, at most 512'],
  ['elasticsearch', { lang: long }, '70000 bytes in the column lang'],
  ['pinecone', { id: 'x'.repeat(513) }, 'an id of 513 characters'],
  ['pinecone-documents', { text: long }, 'bytes of metadata'],
  ['milvus', { text: long }, '70000 bytes in the column text'],
  ['milvus+https://milvus/wiki', { text: long }, '70000 bytes in the column text'],
  ['pgvector', { text: 'a\0b' }, 'the character U+0000 in the column text'],
  ['vespa', { lang: '\u0001' }, 'a control character in the column lang'],
])('%s refuses a plan whose sample has a row that it cannot store: %j', async (consumer, row, problem) => {
  const options = { carry: ['lang'], includeText: true }
  const planned = plan(consumer, 8, row, options)
  await expect(planned).rejects.toThrow(/cannot store 1 of the \d sampled documents/)
  await expect(planned).rejects.toThrow(problem)
  await plan(consumer, 8, {}, options)
})

test('names that a consumer cannot have, or that become one name, refuse a plan', async () => {
  await expect(plan('vespa', 8, { '1st': 'x' }, { carry: ['1st'] })).rejects.toThrow(
    "'1st' is not a valid Vespa name",
  )
  await expect(plan('milvus', 8, { 'a.b': 1, 'a-b': 2 }, { carry: ['a.b', 'a-b'] })).rejects.toThrow(
    "two columns would both be named 'a_b'",
  )
})

test('pgvector warns above 4,000 dimensions, which it holds without an index', () => {
  expect(consumerOf('pgvector')?.warning(model(4_000))).toBeUndefined()
  expect(consumerOf('pgvector')?.warning(model(4_001))).toMatch(/cannot index 4001 dimensions/)
  expect(consumerOf('qdrant+http://q/wiki')).toBeUndefined()
})

test('the command reads the layout of the export and the URLs of the sinks from reembed.yaml', async () => {
  await using folder = await temporaryFolder()
  await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
  const source = join(folder.path, 'a.jsonl')
  await writeFile(source, `${JSON.stringify({ id: 'ü'.repeat(257), text: 't' })}\n`)
  const planWith = async (lines: string) => {
    const config = join(folder.path, 'reembed.yaml')
    await writeFile(config, `version: 1\n${lines}`)
    return await inProcess(['plan', '--source', source, '--endpoint', tei.url, '--config', config])
  }
  const export_ = await planWith('export:\n  layout: elasticsearch\n')
  expect(export_.code).toBe(2)
  expect(export_.stderr).toMatch(
    /Elasticsearch cannot store 1 of the 1 sampled documents \("ü+": an id of 514/,
  )
  const sink = await planWith('sinks:\n  - url: elasticsearch+http://es:9200\n')
  expect(sink.code).toBe(2)
  expect((await planWith('export:\n  layout: hf\n')).code).toBe(0)
})
