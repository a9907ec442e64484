// What a new user types wrong, and the answer: what is wrong, with the value, and what to type.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { temporaryFolder } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'

let folder: Awaited<ReturnType<typeof temporaryFolder>>
const before = process.cwd()

beforeAll(async () => {
  folder = await temporaryFolder()
  await mkdir(join(folder.path, 'docs'))
  await writeFile(join(folder.path, 'docs', 'a.md'), 'Owls hunt at night.\n')
  process.chdir(folder.path)
})
afterAll(async () => {
  process.chdir(before)
  await folder[Symbol.asyncDispose]()
})

const OUTPUT = ['--output', './vectors']

test.each<[typed: string, args: string[], answer: string | RegExp]>([
  [
    'the source without its option',
    ['run', './docs'],
    "'run' takes no arguments, got ./docs: give each value by its option, like --source ./docs, and quote a glob, like --source './docs/*.md'",
  ],
  [
    'an option with a typing error',
    ['run', '--sorce', './docs'],
    "unknown option '--sorce' (did you mean --source?)",
  ],
  [
    'an option with one dash',
    ['run', '-source', './docs'],
    "unknown option '-source' (did you mean --source?)",
  ],
  [
    'a command with a typing error',
    ['serach', 'owls', ...OUTPUT],
    "unknown command 'serach' (did you mean search?)",
  ],
  [
    'an option of another program',
    ['search', 'owls', ...OUTPUT, '--k', '3'],
    "unknown option '--k': --help shows what is accepted",
  ],
  ['a command that does not exist', ['serve'], /^unknown command 'serve'/],
  [
    'a command of a group that does not exist',
    ['endpoint', 'serve'],
    "unknown command 'serve': --help shows what is accepted",
  ],
  [
    'an output without its option',
    ['ls', 's3://vectors/wiki'],
    "'ls' takes no arguments, got s3://vectors/wiki: give each value by its option, like --output ./vectors",
  ],
  [
    'one run of two',
    ['diff', '1', ...OUTPUT],
    "missing required argument 'b': --help shows what is accepted",
  ],
  [
    'no output',
    ['run', '--source', './docs'],
    'missing --output (or REEMBED_OUTPUT): keep the vectors in this folder or s3:// URL',
  ],
  [
    'a question without quotes',
    ['search', 'how', 'do', 'I', ...OUTPUT],
    `'search' takes one argument, got how, do, I: quote a text of several words, like "how do I"`,
  ],
  [
    'a folder that does not exist',
    ['run', '--source', './nowhere', ...OUTPUT],
    /^There is no file or folder '.*nowhere': check the source \(--source\)$/,
  ],
  [
    'a search before a run',
    ['search', 'owls', ...OUTPUT],
    /^There is no folder '.*vectors': check the path \(--output\)$/,
  ],
  [
    'an output inside the source',
    ['run', '--source', './docs', '--output', './docs/vectors'],
    /lies inside the source '.\/docs': choose an output that is outside the source/,
  ],
  [
    'an endpoint without a scheme',
    ['run', '--source', './docs', ...OUTPUT, '--endpoint', 'tei:8080'],
    'the endpoint must be an http:// or https:// URL: write http://tei:8080 (--endpoint)',
  ],
  [
    'a Redis without a scheme',
    ['run', '--source', './docs', ...OUTPUT, '--endpoint', 'http://127.0.0.1:9', '--redis', 'localhost:6379'],
    /^cannot read the Redis URL: write it as redis:\/\/host:6379/,
  ],
  [
    'a worker without the queue',
    ['worker', ...OUTPUT, '--endpoint', 'http://127.0.0.1:9'],
    /^missing --redis \(or REDIS_URL\): .*Give its URL, or use `reembed run`, which starts a private Redis$/,
  ],
  [
    'a word for a number',
    ['run', '--source', './docs', ...OUTPUT, '--chunk-tokens', 'many'],
    "option '--chunk-tokens <n>' argument 'many' is invalid. Expected a whole number of at least 1.",
  ],
])('%s is answered in one line that states what to type', async (_, args, answer) => {
  const { code, stdout, stderr } = await inProcess(args)
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  const [line = '', ...rest] = stderr.trimEnd().split('\n')
  expect(rest).toEqual([])
  expect(line.slice(0, 9)).toBe('reembed: ')
  if (typeof answer === 'string') expect(line.slice(9)).toBe(answer)
  else expect(line.slice(9)).toMatch(answer)
})
