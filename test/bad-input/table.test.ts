import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { BAD_INPUTS } from './table.ts'

test('each of the 77 bad inputs has a line in the table and one test in the file of its group', async () => {
  expect(BAD_INPUTS.map(({ number }) => number)).toEqual(Array.from({ length: 77 }, (_, i) => i + 1))
  const tested = new Map<string, number[]>()
  for (const group of new Set(BAD_INPUTS.map(one => one.group))) {
    const source = await readFile(new URL(`${group}.test.ts`, import.meta.url), 'utf8')
    const [, listed = ''] = /for \(const number of \[([\d, ]+)\]\) bad\(number,/.exec(source) ?? []
    const single = [...source.matchAll(/^bad\((\d+),/gm)].map(([, number]) => Number(number))
    tested.set(
      group,
      [...listed.split(',').filter(Boolean).map(Number), ...single].sort((a, b) => a - b),
    )
  }
  for (const [group, numbers] of tested) {
    expect(numbers).toEqual(BAD_INPUTS.filter(one => one.group === group).map(({ number }) => number))
  }
})

test('every entry has a one-line message, or exit code 0 when the input is repaired silently', () => {
  for (const { says, exit } of BAD_INPUTS) {
    if (says === null) expect(exit).toBe(0)
    else expect(says).toMatch(/^[^\n]{20,}$/)
  }
})
