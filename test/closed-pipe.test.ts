import { expect, test } from 'vitest'
import { start } from './parts/cli.ts'

test('the command ends quietly with its exit code when the reader closes the pipe', async () => {
  const { child, finished } = start(['--help'])
  child.stdout?.destroy()
  expect(await finished).toMatchObject({ code: 0, stderr: '' })
})
