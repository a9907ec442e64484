// SECURITY.md: each line of the threat model names a test that exists.

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

test('each line of the threat model has a test, in the file and with the name that it states', async () => {
  const page = await readFile(`${ROOT}SECURITY.md`, 'utf8')
  const [, table = ''] = /^\| party \|.*\n\|[-|]+\|\n((?:\|.*\n)+)/m.exec(page) ?? []
  const lines = table.trimEnd().split('\n')
  expect(lines.length).toBeGreaterThan(20)
  const missing: string[] = []
  for (const line of lines) {
    const [, file = '', name = ''] = /\| `([^`]+\.ts)`: (.+) \|$/.exec(line) ?? []
    const source = file === '' ? '' : await readFile(`${ROOT}${file}`, 'utf8').catch(() => '')
    const isTest = name !== '' && new RegExp(`['"\`]${RegExp.escape(name)}`).test(source)
    if (!isTest) missing.push(line)
  }
  expect(missing).toEqual([])
})
