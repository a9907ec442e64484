// The line of a run's progress, on terminals of several widths and in a pipe.

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createProgressLine, type ProgressFacts } from '../src/progress-line.ts'

beforeEach(() => {
  vi.stubEnv('CI', undefined)
  vi.stubEnv('TERM', 'xterm')
})
afterEach(() => {
  vi.unstubAllEnvs()
})

function terminal(columns: number | undefined) {
  let written = ''
  const stream = {
    isTTY: columns !== undefined,
    columns,
    write: (text: string) => {
      written += text
      return true
    },
  } as unknown as NodeJS.WriteStream
  return {
    stream,
    /** The last state of the line. */
    line: () => written.split('\x1b[2K').at(-1) ?? '',
    written: () => written,
  }
}

const FACTS: ProgressFacts = {
  shards: 10,
  shardsDone: 4,
  documents: 5_000_000,
  documentsDone: 1_234_567,
  rejects: 3,
  unit: 'document',
  tokens: 900,
  unreadTokens: 100,
  endpoint: 'overloaded, limit 385, 1 of 3 replicas ejected',
  endpointErrors: 2,
}

test('a progress line of 80 columns keeps the share, the endpoint, rejects, unread text and retries', () => {
  let now = 0
  for (const columns of [80, 120, 200]) {
    const screen = terminal(columns)
    const line = createProgressLine(screen.stream, () => now)
    line.show({ ...FACTS, documentsDone: 1_200_000 })
    now += 10_000
    line.show(FACTS)
    const shown = screen.line()
    expect(shown.length, shown).toBeLessThan(columns)
    for (const part of ['24 %', 'overloaded', '3 rejects', 'ETA 18 m']) expect(shown).toContain(part)
    if (columns > 80) expect(shown).toContain('10 % of the text not read  2 jobs retried')
  }
})

test('the unit of the progress is a document or a chunk, also in the singular', () => {
  for (const [unit, documents, shown] of [
    ['chunk', 10, '4 of ~10 chunks'],
    ['document', 1, '1 of ~1 document '],
  ] as const) {
    const screen = terminal(undefined)
    createProgressLine(screen.stream).show({
      ...FACTS,
      unit,
      documents,
      documentsDone: Math.min(4, documents),
    })
    expect(screen.written()).toContain(shown)
  }
})

test('the line has no time left and no rate before the first document, and whole numbers after the last shard', () => {
  const screen = terminal(250)
  const line = createProgressLine(screen.stream)
  line.show({ ...FACTS, documentsDone: 0 })
  expect(screen.line()).toMatch(/ 0 % {2}0 of ~5,000,000 documents {2}endpoint /)
  line.show({ ...FACTS, shardsDone: 10 })
  expect(screen.line()).toMatch(/ 100 % {2}1,234,567 of 1,234,567 documents {2}/)
  expect(screen.line()).not.toContain('ETA')
})
