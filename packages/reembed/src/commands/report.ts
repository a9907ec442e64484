import { writeFile } from 'node:fs/promises'
import { type Report, reportComparison, reportRun } from '@reembed/console'
import { findRun, findVersion } from '@reembed/planner'
import { count, counted } from '@reembed/render'
import { messageOf, ReembedError } from '@reembed/shared'
import { openExistingOutput, s3OptionsOf } from '../open-resources.ts'
import type { OutputFlags } from '../options.ts'
import { note, shortId } from '../output.ts'
import { steps } from '../step-line.ts'

interface Flags extends OutputFlags {
  readonly to?: string
  readonly texts?: boolean
}

/**
 * `reembed report [a] [b]`: writes the report of a run, or of two runs compared, to one file: HTML,
 * or Markdown for a name that ends in .md. `--to -` prints Markdown.
 */
export async function report(a: string | undefined, b: string | undefined, flags: Flags): Promise<void> {
  await using store = await openExistingOutput(flags)
  const first = await (a === undefined ? findRun(store, undefined, 'newest') : findVersion(store, a))
  const second = b === undefined ? undefined : await findVersion(store, b)
  const made =
    second === undefined
      ? await reportRun(store, first)
      : await reportComparison(store, first, second, {
          texts: flags.texts,
          onProgress: (done, of) => steps.show(`reading the runs, ${count(done)} of ${counted(of, 'shard')}`),
          s3: s3OptionsOf(flags),
          onTextsUnreadable: error =>
            note(`note: ids only, because the texts cannot be read from the corpus: ${messageOf(error)}`),
        })
  const name = [first, second].flatMap(run => (run ? shortId(run) : [])).join('-')
  const { to = `reembed-report-${name}.html` } = flags
  await writeReport(made, to)
}

/** Writes HTML, or Markdown to a name that ends in .md; `-` prints Markdown. */
export async function writeReport({ html, markdown }: Report, to: string): Promise<void> {
  steps.end()
  if (to === '-') {
    process.stdout.write(markdown)
    return
  }
  const text = to.endsWith('.md') ? markdown : html
  await writeFile(to, text).catch((error: unknown) => {
    throw new ReembedError('USAGE', `cannot write the report to ${to}: ${messageOf(error)}`, {
      option: 'target',
    })
  })
  note(`report    ${to}`)
}
