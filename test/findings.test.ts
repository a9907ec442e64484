// The list of findings: each cites a test that exists, and an edit that still takes its fix out.

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { FINDINGS, POINTS, SIBLINGS } from './findings.ts'
import { missingTests } from './parts/cited-test.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const MIN_SIBLINGS = 3

test('each kind has findings, and siblings that were tried', () => {
  expect(new Set(FINDINGS.map(({ point }) => point))).toEqual(new Set(Object.keys(POINTS)))
  for (const [point, siblings] of Object.entries(SIBLINGS))
    expect(new Set(siblings.map(String)).size, point).toBeGreaterThanOrEqual(MIN_SIBLINGS)
})

test('each test that the list cites exists, and is not skipped by its source', async () => {
  const cited = [...FINDINGS.map(({ test }) => test), ...Object.values(SIBLINGS).flat()]
  expect(await missingTests(cited)).toEqual([])
})

test('each edit that takes a fix out fits its file exactly once', async () => {
  const wrong: string[] = []
  for (const { seen, without } of FINDINGS) {
    const source = await readFile(`${ROOT}${without.file}`, 'utf8')
    if (source.split(without.find).length !== 2) wrong.push(`${without.file}: ${seen}`)
  }
  expect(wrong).toEqual([])
})
