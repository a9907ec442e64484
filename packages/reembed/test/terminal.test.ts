// What is drawn on a terminal, and what is written into a pipe.

import { expect, test, vi } from 'vitest'
import { facts, wrapped } from '../src/format.ts'
import { createProgressLine, type ProgressFacts } from '../src/progress-line.ts'
import { createStepLine } from '../src/step-line.ts'

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
  const { CI: _, ...env } = process.env
  process.env = { ...env, TERM: 'xterm' }
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

test('a step is drawn at once on a terminal, and removed at its end', () => {
  const screen = terminal(40)
  const steps = createStepLine(screen.stream)
  steps.show('planning: counting tokens, 12 of 64 texts')
  expect(screen.line()).toBe('planning: counting tokens, 12 of 64 te…')
  steps.end()
  expect(screen.line()).toBe('')
})

test('a pipe gets a line for each ten seconds without output, with the seconds of the step', () => {
  let now = 0
  const screen = terminal(undefined)
  const steps = createStepLine(screen.stream, () => now)
  steps.show('listing the source')
  now = 9_900
  steps.show('listing the source, 1,000 objects')
  expect(screen.written()).toBe('')
  now = 10_100
  steps.show('listing the source, 2,000 objects')
  now = 15_000
  steps.interrupt()
  now = 24_900
  steps.show('listing the source, 3,000 objects')
  expect(screen.written()).toBe('listing the source, 2,000 objects  10 s\n')
  steps.end()
})

test('nothing is drawn after the end of the steps, however long the process lives', () => {
  vi.useFakeTimers()
  try {
    const screen = terminal(undefined)
    const steps = createStepLine(screen.stream)
    steps.show('planning: listing the source')
    vi.advanceTimersByTime(30_000)
    const before = screen.written()
    expect(before).toContain('planning: listing the source  10 s\n')
    steps.end()
    vi.advanceTimersByTime(60_000)
    expect(screen.written()).toBe(before)
  } finally {
    vi.useRealTimers()
  }
})

test('lines break at spaces, and a long word stays whole', () => {
  expect(wrapped('name   one two three four five six', 30, 7)).toBe(
    'name   one two three four five\n       six',
  )
  const path = '/a/very/long/path/that/is/longer/than/the/terminal'
  expect(wrapped(`name   in ${path} today`, 40, 7)).toBe(`name   in\n       ${path}\n       today`)
  expect(facts([['a', 'x'.repeat(300)]])).toBe(`a   ${'x'.repeat(300)}`)
})
