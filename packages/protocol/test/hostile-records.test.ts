// Records that a writer to the output made to lead elsewhere, or to count what no run has.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { manifestKey, planKey, runStateKey, shardKey } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readManifest } from '../src/manifest.ts'
import { readPlan } from '../src/plan.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-hostile-'))
  // What a name with dots would reach: plan and manifest of a folder beside the output.
  await mkdir(join(folder, 'private', 'data'), { recursive: true })
  for (const name of ['plan.json', 'manifest.json', 'data/part-00000-of-00001.parquet'])
    await writeFile(join(folder, 'private', name), '{}')
  await mkdir(join(folder, 'output', 'runs'), { recursive: true })
})
afterEach(() => rm(folder, { recursive: true }))

test.each([
  '../../private',
  '..',
  '.',
  '',
  'a/../../../private',
  '/../../private',
  '%2e%2e/%2e%2e/private',
  '..\\..\\private',
  '\u2025/\u2025/private',
  '\uff0e\uff0e/private',
  '../../private\u0000',
  'a'.repeat(5_000),
  '__proto__',
])('the name %j of a run in a plan leads to no object outside its output', async run => {
  await using store = await openStore(join(folder, 'output'))
  const outcome = (call: Promise<unknown>): Promise<unknown> =>
    call.catch((error: unknown) => (error as { code?: string }).code)
  for (const call of [
    readPlan(store, run),
    readManifest(store, run),
    store.head(shardKey(run, 0, 1)),
    store.head(planKey(run)),
    store.head(manifestKey(run)),
    store.head(runStateKey(run, 1)),
  ])
    expect([undefined, 'USAGE']).toContain(await outcome(call))
})
