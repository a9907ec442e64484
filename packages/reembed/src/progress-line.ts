// Shows the progress of a run on stderr: one line that is redrawn on a terminal, a plain line every
// few seconds in a pipe.

import { count, counted, duration } from './format.ts'

export interface ProgressFacts {
  readonly shards: number
  readonly shardsDone: number
  /** Exact so far, estimated in total. */
  readonly documents: number
  readonly documentsDone: number
  readonly rejects: number
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

  function text(facts: ProgressFacts): string {
    const rate = rateOf(facts.documentsDone)
    const total = Math.max(facts.documents, facts.documentsDone)
    const share = total === 0 ? 1 : facts.documentsDone / total
    const bar = `[${'='.repeat(Math.round(share * BAR_WIDTH)).padEnd(BAR_WIDTH, '-')}]`
    const left = rate > 0 ? `ETA ${duration((1000 * (total - facts.documentsDone)) / rate)}` : 'ETA ?'
    return [
      `${live ? `${bar} ` : ''}${(100 * share).toFixed(0).padStart(3)} %`,
      `${count(facts.documentsDone)} of ~${count(total)} documents`,
      `${count(rate)}/s`,
      left,
      `endpoint ${facts.endpoint}`,
      ...(facts.rejects > 0 ? [counted(facts.rejects, 'reject')] : []),
      ...(facts.endpointErrors > 0 ? [`${counted(facts.endpointErrors, 'job')} retried`] : []),
    ].join('  ')
  }

  return {
    show(facts) {
      const line = text(facts)
      if (live) {
        const columns = stream.columns ?? 80
        stream.write(`\r\x1b[2K${line.slice(0, columns - 1)}`)
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
