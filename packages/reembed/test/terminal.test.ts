// What is drawn on a terminal, and what is written into a pipe.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { WriteStream } from 'node:tty'
import { paintFirst, paintRun } from '@reembed/render'
import { printable } from '@reembed/shared'
import { openLog } from '@reembed/telemetry'
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { consoleCommand } from '../src/commands/console.ts'
import { onInterrupt } from '../src/interrupt.ts'
import { createStepLine, steps } from '../src/step-line.ts'
import { withLoggedWaits } from '../src/waits.ts'

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

test('states have colours on a terminal, and none in a pipe, with NO_COLOR or on a dumb terminal', () => {
  // The decision about colours is that of Node's own terminals.
  const { getColorDepth } = WriteStream.prototype
  const streamOf = (isTTY: boolean): NodeJS.WriteStream =>
    Object.assign(new Writable(), { isTTY, getColorDepth }) as unknown as NodeJS.WriteStream
  vi.stubEnv('FORCE_COLOR', undefined)
  vi.stubEnv('NODE_DISABLE_COLORS', undefined)
  vi.stubEnv('NO_COLOR', undefined)
  const row = 'run     k2jq7x  held: 3 rejects\nshards  3'
  expect(paintRun(row, streamOf(true))).toBe('run     k2jq7x  \x1b[33mheld\x1b[39m: 3 rejects\nshards  3')
  expect(paintFirst('FAIL  redis', streamOf(true))).toBe('\x1b[31mFAIL\x1b[39m  redis')
  expect(paintFirst('note: failed', streamOf(true))).toBe('note: failed')
  expect(paintRun(row, streamOf(false))).toBe(row)
  vi.stubEnv('TERM', 'dumb')
  expect(paintRun(row, streamOf(true))).toBe(row)
  vi.stubEnv('TERM', 'xterm')
  vi.stubEnv('NO_COLOR', '1')
  expect(paintRun(row, streamOf(true))).toBe(row)
})

test('a process that logs shows no step of its start any more', () => {
  const end = vi.spyOn(steps, 'end')
  withLoggedWaits(openLog({ level: 'silent' }), () => expect(end).toHaveBeenCalledOnce())
})

test('a step replaces each character that the other texts escape', () => {
  const screen = terminal(undefined)
  let nowMs = 0
  const line = createStepLine(screen.stream, () => nowMs)
  const characters = Array.from({ length: 0x900 }, (_, i) =>
    String.fromCodePoint(i < 0x800 ? i : 0xe_0000 + i - 0x800),
  )
  const marks = Array.from({ length: 0x1_0000 - 0x800 }, (_, i) => String.fromCharCode(0x800 + i))
  const escaped = [...characters, ...marks].filter(character => printable(character) !== character)
  expect(escaped.length).toBeGreaterThan(200)
  line.show('x')
  nowMs = 10_000
  line.show(`x${escaped.join('')}`)
  line.end()
  expect(screen.written()).toBe(`x${'?'.repeat(escaped.length)}\n`)
})

test('the console removes the line of its start before it waits for requests', async () => {
  const output = await mkdtemp(join(tmpdir(), 'reembed-console-'))
  onTestFinished(() => rm(output, { recursive: true }))
  const end = vi.spyOn(steps, 'end')
  const served = consoleCommand({ output: [output], listen: '0' }, undefined)
  await vi.waitFor(() => expect(end).toHaveBeenCalled(), { timeout: 20_000 })
  process.emit('SIGINT')
  await served
})

test('a command that ended in order after an interrupt does not end the process later', () => {
  vi.useFakeTimers()
  const exit = vi.spyOn(process, 'exit').mockImplementation(() => undefined as never)
  onTestFinished(() => {
    vi.useRealTimers()
    exit.mockRestore()
  })
  const late = onInterrupt()
  process.emit('SIGINT')
  vi.advanceTimersByTime(60_000)
  expect(exit).toHaveBeenCalledOnce()
  late.stop()
  const ended = onInterrupt()
  process.emit('SIGINT')
  expect(ended.signal.aborted).toBe(true)
  ended.stop()
  vi.advanceTimersByTime(60_000)
  expect(exit).toHaveBeenCalledOnce()
})
