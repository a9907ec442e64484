import { expect, test } from 'vitest'
import { documentedPrompts, promptMismatch } from '../src/documented-prompts.ts'

test.each([
  ['intfloat/e5-base-v2', 'passage: '],
  ['intfloat/multilingual-e5-small', 'passage: '],
  ['intfloat/multilingual-e5-large-instruct', ''],
  ['BAAI/bge-small-en-v1.5', ''],
  ['nomic-ai/nomic-embed-text-v1.5', 'search_document: '],
  ['nomic-embed-text:latest', 'search_document: '],
  ['Snowflake/snowflake-arctic-embed-m', ''],
  ['Qwen/Qwen3-Embedding-0.6B', ''],
  ['google/embeddinggemma-300m', 'title: none | text: '],
  ['Alibaba-NLP/gte-Qwen2-7B-instruct', ''],
])('%s is known to put %j before documents', (id, document) => {
  expect(documentedPrompts({ id })?.document).toBe(document)
})

test.each(['sentence-transformers/all-MiniLM-L6-v2', 'BAAI/bge-m3', 'acme/my-e5', '/repository', ''])(
  'of %j nothing is known',
  id => {
    expect(documentedPrompts({ id })).toBeUndefined()
    expect(promptMismatch({ id }, { prompt: 'anything', applied: null })).toBeUndefined()
  },
)

const id = 'intfloat/e5-base-v2'

test.each([
  ['the prompt', { prompt: 'passage: ', applied: '' }],
  ['the prompt without its space', { prompt: 'passage:', applied: '' }],
  ['the template', { template: 'passage: {{ title }}', applied: '' }],
  ['the server', { applied: 'passage: ' }],
])('a prompt that %s puts before documents agrees with the card', (_, sent) => {
  expect(promptMismatch({ id }, sent)).toBeUndefined()
})

test.each([
  ['no prompt', { applied: '' }],
  ['no prompt, where the server states none', { applied: null }],
  ['the prompt of queries', { prompt: 'query: ', applied: '' }],
])('%s differs from the card of e5', (_, sent) => {
  expect(promptMismatch({ id }, sent)).toMatchObject({ document: 'passage: ', query: 'query: ' })
})

test('the prompt of queries before documents differs from the card of bge, no prompt agrees', () => {
  const bge = { id: 'BAAI/bge-base-en-v1.5' }
  const prompt = 'Represent this sentence for searching relevant passages: '
  expect(promptMismatch(bge, { prompt, applied: '' })).toMatchObject({ document: '', prompt })
  expect(promptMismatch(bge, { applied: '' })).toBeUndefined()
})
