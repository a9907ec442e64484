// `reembed doctor` on stores, in this process.

import { join } from 'node:path'
import { startS3Server } from '@reembed/testing'
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
