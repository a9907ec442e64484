// `reembed doctor` on stores, in this process.

import { startS3Server } from '@reembed/testing'
import { expect, test } from 'vitest'
import { temporaryFolder } from './parts/cli.ts'
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
