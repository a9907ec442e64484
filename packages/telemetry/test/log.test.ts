// Lines of the log, as a process writes them.

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { LIMITS } from '@reembed/shared'
import { expect, test } from 'vitest'

const LOG = fileURLToPath(new URL('../src/log.ts', import.meta.url))

/** The lines of a process that runs this program. */
function linesOf(program: string): { readonly message: string; readonly fact?: string }[] {
  const text = `import { openLog } from ${JSON.stringify(LOG)}\nconst log = openLog()\n${program}`
  const args = ['--conditions=@reembed/source', '--input-type=module', '-e', text]
  const { stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', maxBuffer: 2 ** 26 })
  return stderr
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
    .map(({ msg, fact }) => ({ message: msg, fact }))
}

test('P-BOUNDED: a message and each field of a line have a length, whatever another party wrote', () => {
  const length = 3_000_000
  const [line, short] = linesOf(
    `log.warn({ fact: 'f'.repeat(${length}) }, 'm'.repeat(${length}))\nlog.warn({ fact: 'f' }, 'm')`,
  )
  expect(line?.fact).toBe(`${'f'.repeat(LIMITS.logCharacters)}… (${length} characters)`)
  expect(line?.message).toBe(`${'m'.repeat(LIMITS.logCharacters)}… (${length} characters)`)
  expect(short).toEqual({ message: 'm', fact: 'f' })
})
