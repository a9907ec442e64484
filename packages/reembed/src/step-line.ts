// Shows what a command does before it has a result: one line that is redrawn on a terminal, and in
// a pipe a plain line for each ten seconds without output. Loaded by every command, so it imports
// nothing.

/** Time without output after which a plain line is written: logs need fewer lines than a screen. */
const QUIET_MS = 10_000
const REDRAW_MS = 200
/** As `printable` of @reembed/shared, which is not loaded yet: names of objects contain them. */
const UNPRINTABLE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to replace
  /[\u0000-\u001f\u007f-\u009f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu
/** A step that takes longer shows its seconds. */
const SHOWN_SECONDS_MS = 2_000

export interface StepLine {
  /** Starts or updates a step, 'listing the source, 12,000 objects'. */
  show(text: string): void
  /** Makes room for other output, after which the line is drawn again. */
  interrupt(): void
  /** Removes the line. */
  end(): void
}

export function createStepLine(stream: NodeJS.WriteStream, now: () => number = Date.now): StepLine {
  let text = ''
  let step = ''
  let stepMs = now()
  let outputMs = now()
  let drawn = false
  let timer: NodeJS.Timeout | undefined
  const isLive = (): boolean => stream.isTTY && process.env.TERM !== 'dumb' && !process.env.CI

  function lineOf(columns: number): string {
    const elapsedMs = now() - stepMs
    const seconds = elapsedMs >= SHOWN_SECONDS_MS ? `  ${Math.floor(elapsedMs / 1000)} s` : ''
    const room = columns - seconds.length - 1
    return (text.length > room ? `${text.slice(0, room - 1)}…` : text) + seconds
  }

  function erase(): void {
    if (drawn) stream.write('\r\x1b[2K')
    drawn = false
  }

  function draw(): void {
    if (isLive()) {
      stream.write(`\r\x1b[2K${lineOf(stream.columns || 80)}`)
      drawn = true
    } else if (now() - outputMs >= QUIET_MS) {
      stream.write(`${lineOf(Number.POSITIVE_INFINITY)}\n`)
      outputMs = now()
    }
  }

  return {
    show(next) {
      // 'sampling, 3 of 64' continues the step 'sampling, 2 of 64'.
      if (timer === undefined) outputMs = now()
      const [name = ''] = next.split(',')
      if (name !== step) stepMs = now()
      step = name
      text = next.replace(UNPRINTABLE, '?')
      draw()
      timer ??= setInterval(draw, REDRAW_MS).unref()
    },
    interrupt() {
      erase()
      outputMs = now()
    },
    end() {
      clearInterval(timer)
      timer = undefined
      erase()
    },
  }
}

/** The line of this process. Notes and errors interrupt it. */
export const steps: StepLine = createStepLine(process.stderr)
