// Lists the failed tests of a run in a file, for a log of which only the end is kept.

import { appendFile } from 'node:fs/promises'
import { relative } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import type { Reporter, SerializedError, TestModule } from 'vitest/node'

const MAX_LINES = 8
/** Lines of the difference: an unexpected entry of a list is often the log of a process. */
const MAX_DIFF_LINES = 40
const MAX_FAILURES = 40

/** A vitest reporter. It appends to the file that REEMBED_TEST_FAILURES names, if it is set. */
export class FailureReporter implements Reporter {
  readonly #file: string | undefined

  constructor(file: string | undefined = process.env.REEMBED_TEST_FAILURES) {
    this.#file = file
  }

  async onTestRunEnd(
    modules: readonly TestModule[],
    unhandled: readonly SerializedError[] = [],
  ): Promise<void> {
    if (!this.#file) return
    const failures = [...failuresOf(modules), ...unhandled.map(error => describe('outside of a test', error))]
    const left = failures.length - MAX_FAILURES
    const more = left > 0 ? [`and ${left} more`] : []
    await appendFile(
      this.#file,
      [...failures.slice(0, MAX_FAILURES), ...more].map(line => `${line}\n`).join(''),
    )
  }
}

function* failuresOf(modules: readonly TestModule[]): Generator<string> {
  for (const module of modules) {
    const file = relative(process.cwd(), module.moduleId)
    for (const error of module.errors()) yield describe(file, error)
    for (const suite of module.children.allSuites())
      for (const error of suite.errors()) yield describe(`${file} > ${suite.fullName}`, error)
    for (const test of module.children.allTests('failed'))
      for (const error of test.result().errors ?? []) yield describe(`${file} > ${test.fullName}`, error)
  }
}

/** The name of a test, the beginning of its message and of the difference, and where it failed. */
function describe(name: string, { message, diff, stacks }: SerializedError): string {
  const lines = [...linesOf(message).slice(0, MAX_LINES), ...changesOf(diff).slice(0, MAX_DIFF_LINES)]
  const [frame] = stacks ?? []
  const place = frame ? [`at ${relative(process.cwd(), frame.file)}:${frame.line}`] : []
  return [name, ...[...lines, ...place].map(line => `    ${line}`)].join('\n')
}

const linesOf = (text: string): string[] => stripVTControlCharacters(text).split('\n')

/** The changes of lists or objects, which a message may only count, without the legend. */
function changesOf(diff: unknown): string[] {
  const changes = linesOf(String(diff ?? '')).filter(line => /^[+-] (?!Expected$|Received$)/.test(line))
  return changes.length > 2 ? changes : []
}
