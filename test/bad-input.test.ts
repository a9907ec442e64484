// What people get wrong beside the 77 bad inputs (bad-input/), each with its one line and its exit
// code.

import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { startS3Server } from '@reembed/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { flags, temporaryFolder } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'

let tei: TeiServer
let redis: LocalRedis

beforeAll(async () => {
  ;[tei, redis] = await Promise.all([serveTei({ engine: createHashEngine({ dimensions: 8 }) }), startRedis()])
})
afterAll(async () => {
  await Promise.all([tei, redis].map(part => part[Symbol.asyncDispose]()))
})

/**
 * Runs `reembed run` over the given files and in this process, and returns its exit code, the last
 * line of its output and its result.
 */
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
  const { code, stdout, stderr } = await inProcess(
    [
      'run',
      '--source',
      source,
      '--output',
      output,
      ...(args.includes('--endpoint') ? [] : ['--endpoint', tei.url]),
      '--redis',
      redis.url,
      '--json',
      ...args,
    ],
    env,
  )
  const said = stderr.trim().split('\n').at(-1) ?? ''
  const result = stdout === '' ? undefined : JSON.parse(stdout)
  return { code, said, result }
}

const lines = (...rows: object[]): string => rows.map(row => `${JSON.stringify(row)}\n`).join('')
const good = lines({ id: 'a', text: 'first' }, { id: 'b', text: 'second' })

test('a source that is missing is named, exit code 2', async () => {
  const { code, stderr } = await inProcess([
    'run',
    ...flags({ source: 'no/such/folder', output: 'x', endpoint: tei.url }),
  ])
  expect(code).toBe(2)
  expect(stderr).toMatch(/no\/such\/folder.*--source/)
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

test('more rejects than allowed hold back publishing, exit code 3, and say where they are listed', async () => {
  const { code, result } = await runOver({ 'a.jsonl': `${good}{"id":"d","text":""}\n` })
  expect(code).toBe(3)
  expect(result.status).toBe('held')
})

test('an endpoint that does not answer is named, exit code 5', async () => {
  const { code, said } = await runOver({ 'a.jsonl': good }, ['--endpoint', 'http://127.0.0.1:1'])
  expect(code).toBe(5)
  expect(said).toMatch(/127\.0\.0\.1:1.*ECONNREFUSED|ECONNREFUSED.*127\.0\.0\.1:1/)
})

test('an endpoint that is not TEI is reported as such, exit code 5', async () => {
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

test('a misspelt option is answered with the nearest name, exit code 2', async () => {
  const { code, stderr } = await inProcess(['run', '--sorce', 'x'])
  expect(code).toBe(2)
  expect(stderr).toBe("reembed: unknown option '--sorce' (did you mean --source?)\n")
})

test('an unknown run is answered with those there are, exit code 2', async () => {
  await using folder = await temporaryFolder()
  const { code, stderr } = await inProcess(['status', 'abc', '--output', folder.path])
  expect(code).toBe(2)
  expect(stderr).toMatch(/no run begins with 'abc'.*it has none/)
})
