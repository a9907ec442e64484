// Shows the progress of a run on stderr: one line that is redrawn on a terminal, a plain line every
// few seconds in a pipe.

import { printable } from '@reembed/shared'
import { count, counted, duration } from './numbers.ts'

export interface ProgressFacts {
  readonly shards: number
  readonly shardsDone: number
  /** Exact so far, estimated in total. */
  readonly documents: number
  readonly documentsDone: number
  readonly rejects: number
  /** What `documents` counts. */
  readonly unit: 'document' | 'chunk'
  /** Tokens that the model read, and did not read. */
  readonly tokens: number
  readonly unreadTokens: number
  readonly endpoint: string
  readonly endpointErrors: number
}

export interface ProgressLine {
  show(facts: ProgressFacts): void
  /** Keeps the line and starts the next one. */
  end(): void
}

const PLAIN_EVERY_MS = 5_000
const RATE_WINDOW_MS = 15_000
const BAR_WIDTH = 24
const MIN_BAR = 8
/** 'overloaded, limit 385' */
const MIN_ENDPOINT = 22
/** Brackets, and the space after them. */
const BAR_FRAME = 4

const barOf = (share: number, width: number): string =>
  `[${'='.repeat(Math.round(share * width)).padEnd(width, '-')}]`

/** '1.2k', '3.4M' */
const brief = (n: number): string =>
  new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 1 }).format(n)

/** The beginning of a text, cut at a space where possible. */
function shortened(text: string, most: number): string {
  if (text.length <= most) return text
  const cut = text.slice(0, Math.max(0, most - 1))
  return `${cut.slice(0, Math.max(cut.lastIndexOf(' '), Math.ceil(cut.length / 2)))}…`
}

/** Draws on a terminal; writes a line every few seconds into a pipe or a log. */
export function createProgressLine(stream: NodeJS.WriteStream, now: () => number = Date.now): ProgressLine {
  const live = stream.isTTY && process.env.TERM !== 'dumb' && !process.env.CI
  const history: { atMs: number; documents: number }[] = []
  let shownMs = Number.NEGATIVE_INFINITY
  let shown = ''

  /** Documents per second, over the last seconds. */
  function rateOf(documents: number): number {
    const atMs = now()
    history.push({ atMs, documents })
    while ((history[0]?.atMs ?? atMs) < atMs - RATE_WINDOW_MS) history.shift()
    const first = history[0]
    return first && atMs > first.atMs
      ? Math.max(0, (1000 * (documents - first.documents)) / (atMs - first.atMs))
      : 0
  }

  function text(facts: ProgressFacts, columns: number): string {
    const rate = rateOf(facts.documentsDone)
    const isWhole = facts.shards > 0 && facts.shardsDone >= facts.shards
    const total = isWhole ? facts.documentsDone : Math.max(facts.documents, facts.documentsDone)
    const share = total === 0 ? 1 : facts.documentsDone / total
    const leftMs = (1000 * (total - facts.documentsDone)) / rate
    // Without a rate there is nothing to derive the time from.
    const left = rate > 0 && !isWhole ? [`ETA ${duration(leftMs)}`] : []
    const unread = facts.unreadTokens / Math.max(1, facts.tokens + facts.unreadTokens)
    const percent = `${Math.floor(100 * share)} %`.padStart(5)
    const faults = [
      ...(facts.rejects > 0 ? [counted(facts.rejects, 'reject')] : []),
      ...(unread >= 0.005 ? [`${Math.round(100 * unread)} % of the text not read`] : []),
      ...(facts.endpointErrors > 0 ? [`${counted(facts.endpointErrors, 'job')} retried`] : []),
    ]
    const long = [
      percent,
      `${count(facts.documentsDone)} of ${isWhole ? '' : '~'}${counted(total, facts.unit)}`,
      ...(rate > 0 ? [`${count(rate)}/s`] : []),
      ...left,
      `endpoint ${printable(facts.endpoint)}`,
      ...faults,
    ].join('  ')
    const room = columns - long.length - BAR_FRAME
    if (columns === Number.POSITIVE_INFINITY) return long.trimStart()
    if (room >= MIN_BAR) return `${barOf(share, Math.min(BAR_WIDTH, room))} ${long}`
    if (long.length < columns) return long
    // A narrow terminal: shorter numbers, so that the endpoint's state and the rejects stay.
    const done = `${brief(facts.documentsDone)} of ${brief(total)} ${facts.unit}s`
    const short = [percent, done, ...left].join('  ')
    // Rejects come first in `faults`: what comes after them is left out first.
    const kept = [...faults]
    const restOf = (): string => kept.map(fault => `  ${fault}`).join('')
    const roomOf = (): number => columns - short.length - restOf().length - 3
    while (kept.length > 1 && roomOf() < MIN_ENDPOINT) kept.pop()
    return `${short}  ${shortened(printable(facts.endpoint), roomOf())}${restOf()}`.slice(0, columns - 1)
  }

  return {
    show(facts) {
      const line = text(facts, live ? stream.columns || 80 : Number.POSITIVE_INFINITY)
      if (live) {
        stream.write(`\r\x1b[2K${line}`)
        shown = line
      } else if (now() - shownMs >= PLAIN_EVERY_MS && line !== shown) {
        stream.write(`${line}\n`)
        shownMs = now()
        shown = line
      }
    },
    end() {
      if (live && shown) stream.write('\n')
    },
  }
}
