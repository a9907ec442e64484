// `reembed doctor` on stores, in this process.

import { join } from 'node:path'
import { startOpenaiServer, startS3Server } from '@reembed/testing'
import { expect, test } from 'vitest'
import { flags, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'

test('doctor refuses a store that checks for a key and writes it in two steps', async () => {
  await using s3 = await startS3Server({ checkToPutMs: 100 })
  const { stdout, code } = await inProcess(['doctor', '--output', 's3://test/vectors'], s3.env)
  expect(stdout).toMatch(
    /^FAIL +output +s3:\/\/test\/vectors\S* let \d+ of 16 concurrent writers put one key.*\(--unsafe-store\)$/m,
  )
  expect(code).toBe(5)
})

test('doctor accepts a store and a folder with atomic conditional puts', async () => {
  await using s3 = await startS3Server()
  await using folder = await temporaryFolder()
  for (const [output, env] of [
    ['s3://test/vectors', s3.env],
    [folder.path, {}],
  ] as const) {
    expect(await inProcess(['doctor', '--output', output], env)).toMatchObject({
      stdout: expect.stringMatching(/^ok +output .*of concurrent puts of one key, exactly one succeeds$/m),
      code: 0,
    })
  }
})

test('doctor takes a file and a glob as run does, shows fields and documents, and tells what it skipped', async () => {
  await using folder = await temporaryFolder()
  const rows = Array.from({ length: 30 }, (_, i) => ({ key: i, body: `text ${i}` }))
  const file = await writeJsonl(join(folder.path, 'a.jsonl'), rows)
  for (const source of [file, join(folder.path, '*.jsonl'), folder.path]) {
    const { stdout, code } = await inProcess([
      'doctor',
      ...flags({ source, id: 'key', text: 'body', 'chunk-tokens': '64' }),
    ])
    expect(stdout).toMatch(/^ok +source +.* 1 object, .* about 30 documents; id: key, text: body$/m)
    expect(stdout).toMatch(/^skip +output +give --output to check it$/m)
    expect(code).toBe(0)
  }
  const wrong = await inProcess(['doctor', ...flags({ source: file, id: 'key', text: 'nothing' })])
  expect(wrong.stdout).toMatch(/^FAIL +source +.*nothing.*\(--text\)$/m)
  expect(wrong.code).toBe(5)
})

test('doctor shows the limits of an OpenAI-compatible server, and plan and doctor warn of a missing prompt', async () => {
  const model = 'intfloat/e5-base-v2'
  await using server = await startOpenaiServer({
    model,
    maxInputs: 10,
    maxTextTokens: 512,
    maxRequestTokens: 900,
  })
  await using folder = await temporaryFolder()
  const source = await writeJsonl(join(folder.path, 'a.jsonl'), [{ id: '1', text: 'one' }])
  const given = flags({ endpoint: server.url, model, source })
  const { stdout, code } = await inProcess(['doctor', ...given])
  expect(stdout).toMatch(/10 texts per request, \d+ to \d+ tokens per request/)
  expect(stdout).toMatch(
    /warning: the card of intfloat\/e5-base-v2 puts "passage: " .* give --prompt "passage: "/,
  )
  expect(code).toBe(0)
  const planned = await inProcess(['plan', ...given])
  expect(planned.stderr).toMatch(
    /^warning: the card of intfloat\/e5-base-v2 puts "passage: " before each document/m,
  )
  const prompted = await inProcess(['plan', ...given, '--prompt', 'passage: '])
  expect(prompted.stderr).not.toContain('the card of')
})

test('--endpoint-limits lowers the requests, and a limit that is none is refused', async () => {
  await using server = await startOpenaiServer()
  const given = flags({ endpoint: server.url, model: 'm' })
  const { stdout } = await inProcess(['doctor', ...given, '--endpoint-limits', 'inputs=4,text=100'])
  expect(stdout).toContain('at most 100 tokens per text, 4 texts per request')
  const wrong = await inProcess(['doctor', ...given, '--endpoint-limits', 'inputs=many'])
  expect(wrong).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("like 'inputs=10,tokens=8000,text=512'"),
  })
})
