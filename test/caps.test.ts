// Each limit is stated in packages/shared/src/limits.ts and has a proof. `npm run caps` tries them.

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { LIMITS } from '@reembed/shared'
import { expect, test } from 'vitest'
import { CAPS } from './bounds/caps.ts'
import { CASES } from './bounds/cases.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

test('each limit has a trial at it and beyond it, or a case that exists', () => {
  expect(Object.keys(CAPS).toSorted()).toEqual(Object.keys(LIMITS).toSorted())
  const wrong = Object.entries(CAPS).filter(
    ([, cap]) =>
      'cases' in cap &&
      (cap.cases.length === 0 || !cap.cases.every(each => CASES.some(known => known.name === each))),
  )
  expect(wrong.map(([name]) => name)).toEqual([])
})

/** Bounds of what a process itself writes, sends, shows or remembers. */
const OWN = new Set(
  `
  console: MAX_NOTICES MAX_EVENTS MAX_REJECTS_READ MAX_RECORDS MAX_CELLS MAX_VERSIONS MAX_FAILURES MAX_WAITING
  corpus: MAX_SHARE MAX_CHARS MAX_LOST_PROBES
  endpoint: MAX_AFTER MAX_TOKENS MAX_KEPT_BYTES MAX_KEPT MAX_BYTES_PER_TOKEN MAX_RETRY_AFTER_MS MAX_SHORT_CHARACTERS
  endpoint: MAX_RADIUS MAX_CHARACTERS
  evaluate: MAX_REPEATED MAX_PARTS
  formats: MAX_TAIL_BYTES MAX_MESSAGE_CHARS MAX_GROWTH MAX_BATCH_ROWS MAX_UNPACKED_BYTES
  planner: MAX_BLOCK_BYTES MAX_CLUSTERS MAX_ANSWERS MAX_SHARD_BYTES MAX_UNFINISHED
  producer: MAX_RECORDS MAX_OUTPUTS MAX_BURST MAX_CLAIMS MAX_BYTES
  queue: MAX_OBSERVERS MAX_STALLS MAX_ERRORS_PER_SECOND MAX_OBSERVATIONS MAX_MS MAX_RUNS MAX_JOB_FIELDS MAX_REMOVED
  queue: MAX_DEPTH MAX_HEADER
  shard: MAX_CANDIDATES MAX_BYTES
  export: MAX_DIMENSIONS MAX_INDEX_DIMENSIONS
  store: MAX_HOPS
  sinks: MAX_DIMENSIONS MAX_CONNECTIONS MAX_STEPS MAX_LOST_PROBES MAX_IDLE
  worker: MAX_IN_A_ROW MAX_IDS MAX_REPLIES MAX_REPLICAS MAX_REASONS MAX_TOGETHER MAX_ALONE MAX_TEXTS MAX_BYTES MAX_FRAME
  worker: MAX_DENSITY MAX_BAD_VECTORS MAX_CHARACTERS MAX_ROWS MAX_WAITING
`
    .trim()
    .split('\n')
    .flatMap(line => {
      const [name = '', names = ''] = line.trim().split(': ')
      return names.split(' ').map(each => `${name} ${each}`)
    }),
)

test('a limit of foreign data is stated in the table of limits, not beside its reader', async () => {
  const stated: string[] = []
  for (const name of await readdir(join(ROOT, 'packages'))) {
    if (name === 'testing' || name === 'local') continue
    const folder = join(ROOT, 'packages', name, 'src')
    for (const file of await readdir(folder, { recursive: true }).catch(() => [])) {
      if (!file.endsWith('.ts')) continue
      const source = await readFile(join(folder, file), 'utf8')
      const found = source.matchAll(/^(?:export )?const (MAX_\w+)(?:: [^=]+)? = (.+)$/gm)
      for (const [, constant, value = ''] of found)
        if (!value.startsWith('LIMITS.') && !OWN.has(`${name} ${constant}`))
          stated.push(`${file}: ${constant}`)
    }
  }
  expect(stated).toEqual([])
})
