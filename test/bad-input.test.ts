// What people get wrong, each with its one line and its exit code (DESIGN section 7).

import { once } from 'node:events'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { startS3Server } from '@reembed/shared/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { documents, reembed, temporaryFolder, writeJsonl } from './parts/cli.ts'

let tei: TeiServer
let redis: LocalRedis

beforeAll(async () => {
  ;[tei, redis] = await Promise.all([serveTei({ engine: createHashEngine({ dimensions: 8 }) }), startRedis()])
})
afterAll(async () => {
  await Promise.all([tei, redis].map(part => part[Symbol.asyncDispose]()))
})

/** Runs `reembed run` over the given files and returns its exit code and the last line that it said. */
async function runOver(
  files: Record<string, string | Uint8Array>,
  args: string[] = [],
  env: Record<string, string> = {},
) {
  await using folder = await temporaryFolder()
  const source = join(folder.path, 'corpus')
  await mkdir(source)
  for (const [name, body] of Object.entries(files)) await writeFile(join(source, name), body)
  const output = join(folder.path, 'vectors')
  const { code, stdout, stderr } = await reembed(
    [
      'run',
      '--source',
      source,
      '--output',
      output,
      '--endpoint',
      tei.url,
      '--redis',
      redis.url,
      '--json',
      ...args,
    ],
    env,
  )
  const said = stderr.trim().split('\n').at(-1) ?? ''
  const result = stdout === '' ? undefined : JSON.parse(stdout)
  const runs = await readdir(join(output, 'runs')).catch(() => [])
  const rejects = runs[0]
    ? await readFile(join(output, 'runs', runs[0], 'rejects.jsonl'), 'utf8').catch(() => '')
    : ''
  return {
    code,
    said,
    result,
    rejects: rejects
      .split('\n')
      .filter(Boolean)
      .map(line => JSON.parse(line)),
  }
}

const lines = (...rows: object[]): string => rows.map(row => `${JSON.stringify(row)}\n`).join('')
const good = lines({ id: 'a', text: 'first' }, { id: 'b', text: 'second' })

test('a source that is missing is named, exit code 2', async () => {
  const { code, stderr } = await reembed([
    'run',
    '--source',
    'no/such/folder',
    '--output',
    'x',
    '--endpoint',
    tei.url,
  ])
  expect(code).toBe(2)
  expect(stderr).toMatch(/no\/such\/folder.*--source/)
})

test('an empty source is refused, exit code 2', async () => {
  const { code, said } = await runOver({})
  expect(code).toBe(2)
  expect(said).toMatch(/^reembed: .*corpus.* (is empty|holds no|no objects|nothing)/)
})

test('a corpus of unknown formats names an example and the extensions that are known, exit code 2', async () => {
  const { code, said } = await runOver({ 'notes.docx': 'x' })
  expect(code).toBe(2)
  expect(said).toMatch(/\.jsonl.*notes\.docx/)
})

test('a corpus without an id field names the file, the fields it has and the option, exit code 2', async () => {
  const { code, said } = await runOver({ 'a.jsonl': lines({ key: 1, text: 'x' }) })
  expect(code).toBe(2)
  expect(said).toMatch(/a\.jsonl.*key.*--id/)
})

test('a corpus without a text field names the file, the fields it has and the option, exit code 2', async () => {
  const { code, said } = await runOver({ 'a.jsonl': lines({ id: 1, words: 'x' }) })
  expect(code).toBe(2)
  expect(said).toMatch(/a\.jsonl.*words.*--text/)
})

test('a text that is no string, an empty text and a broken line are rejects with file, line and reason; the rest is embedded', async () => {
  const body = `${good}{"id":"c","text":7}\n{"id":"d","text":"  "}\n{"id":"e","text":\n${lines({ id: 'f', text: 'last' })}`
  const { code, result, rejects } = await runOver({ 'a.jsonl': body }, ['--max-rejects', '3'])
  expect(code).toBe(0)
  expect(result.totals).toMatchObject({ documents: 6, rows: 3, rejects: 3 })
  expect(rejects.map(({ key, line, reason, id }) => ({ key, line, reason, id }))).toEqual([
    { key: 'a.jsonl', line: 3, reason: 'invalid_text', id: 'c' },
    { key: 'a.jsonl', line: 4, reason: 'empty_text', id: 'd' },
    { key: 'a.jsonl', line: 5, reason: 'invalid_json', id: null },
  ])
})

test('more rejects than allowed hold back publishing, exit code 3, and say where they are listed', async () => {
  const { code, result } = await runOver({ 'a.jsonl': `${good}{"id":"d","text":""}\n` })
  expect(code).toBe(3)
  expect(result.status).toBe('held')
})

test('a duplicate id is named with both places, exit code 4, and nothing is published', async () => {
  const { code, said } = await runOver({ 'a.jsonl': good, 'b.jsonl': lines({ id: 'a', text: 'again' }) })
  expect(code).toBe(4)
  expect(said).toMatch(/"a".*and/)
})

test('an output inside the source is refused, exit code 2', async () => {
  await using folder = await temporaryFolder()
  await writeJsonl(join(folder.path, 'a.jsonl'), documents(2))
  const { code, stderr } = await reembed([
    'run',
    '--source',
    folder.path,
    '--output',
    join(folder.path, 'out'),
    '--endpoint',
    tei.url,
  ])
  expect(code).toBe(2)
  expect(stderr).toMatch(/inside/)
})

test('a Redis that does not answer is named, exit code 5', async () => {
  const { code, said } = await runOver({ 'a.jsonl': good }, ['--redis', 'redis://127.0.0.1:1'])
  expect(code).toBe(5)
  expect(said).toBe(
    'reembed: no Redis answers at redis://127.0.0.1:1 (ECONNREFUSED): start it, or give another with --redis',
  )
})

test('an endpoint that does not answer is named, exit code 5', async () => {
  const { code, said } = await runOver({ 'a.jsonl': good }, ['--endpoint', 'http://127.0.0.1:1'])
  expect(code).toBe(5)
  expect(said).toMatch(/127\.0\.0\.1:1.*ECONNREFUSED|ECONNREFUSED.*127\.0\.0\.1:1/)
})

test('an endpoint that is no TEI is told so, exit code 5', async () => {
  const server = createServer((_, response) => response.end('<html>hello</html>')).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { code, said } = await runOver({ 'a.jsonl': good }, ['--endpoint', url])
  server.close()
  expect(code).toBe(5)
  expect(said).toContain(url)
  expect(said).toMatch(/\/info/)
})

test('an S3 store that does not answer is named, exit code 5', async () => {
  const env = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'very-secret' }
  const { code, said } = await runOver(
    { 'a.jsonl': good },
    ['--output', 's3://bucket/x', '--s3-endpoint', 'http://127.0.0.1:1'],
    env,
  )
  expect(code).toBe(5)
  expect(said).toMatch(/127\.0\.0\.1:1/)
  expect(said).not.toContain('very-secret')
})

test('wrong S3 credentials name the variables and never their values, exit code 5', async () => {
  await using s3 = await startS3Server()
  const env = { ...s3.env, AWS_SECRET_ACCESS_KEY: 'very-secret' }
  const { code, said } = await runOver({ 'a.jsonl': good }, ['--output', 's3://bucket/x'], env)
  expect(code).toBe(5)
  expect(said).toMatch(/AWS_SECRET_ACCESS_KEY/)
  expect(said).not.toContain('very-secret')
})

test('a store that ignores If-None-Match is refused with the reason, exit code 2', async () => {
  await using s3 = await startS3Server({ buckets: ['bucket'], ignoreIfNoneMatch: true })
  const { code, said } = await runOver({ 'a.jsonl': good }, ['--output', 's3://bucket/x'], s3.env)
  expect(code).toBe(2)
  expect(said).toMatch(/If-None-Match/)
})

test('a misspelt option is answered with the nearest name, exit code 2', async () => {
  const { code, stderr } = await reembed(['run', '--sorce', 'x'])
  expect(code).toBe(2)
  expect(stderr).toBe("reembed: unknown option '--sorce' (did you mean --source?)\n")
})

test('an unknown run is answered with those there are, exit code 2', async () => {
  await using folder = await temporaryFolder()
  const { code, stderr } = await reembed(['status', 'abc', '--output', folder.path])
  expect(code).toBe(2)
  expect(stderr).toMatch(/no run begins with 'abc'.*it has none/)
})
