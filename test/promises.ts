// Proves the promises of requirements.ts by what ran: a promise counts as kept when at least one
// test that carries its id passed. A skipped test is no proof, and neither is a test that only
// exists in a source file.

import type { Reporter, TestCase, TestModule, TestSpecification, Vitest } from 'vitest/node'
import { REQUIREMENTS } from './requirements.ts'

/** The projects that prove every promise together. `npm test` runs these. */
const PROVING = ['unit', 'scenarios']

export interface RanTest {
  /** The names of the groups around the test, then its own. */
  readonly names: readonly string[]
  readonly state: 'passed' | 'failed' | 'skipped' | 'pending'
}

/** The ids before the colon of a name: `I1 P-GC: a run is kept` carries I1 and P-GC. */
export function idsOf(name: string): string[] {
  return /^((?:(?:I\d+|P-[A-Z-]+) ?)+): /.exec(name)?.[1]?.split(' ') ?? []
}

/**
 * What the tests that ran leave open, one line each; empty if each promise has a test that passed.
 */
export function openPromises(
  promised: readonly string[],
  tests: Iterable<RanTest>,
): { readonly unproved: readonly string[]; readonly unknown: readonly string[] } {
  const passed = new Set<string>()
  const others = new Map<string, string>()
  const unknown = new Set<string>()
  for (const { names, state } of tests) {
    for (const id of names.flatMap(idsOf)) {
      if (!promised.includes(id))
        unknown.add(`${id} is not a promise of test/requirements.ts: ${names.at(-1)}`)
      if (state === 'passed') passed.add(id)
      else others.set(id, state)
    }
  }
  return {
    unproved: promised
      .filter(id => !passed.has(id))
      .map(id => {
        const state = others.get(id)
        return `${id} has no test that passed${state ? ` (its tests: ${state})` : ''}`
      }),
    unknown: [...unknown],
  }
}

/**
 * A vitest reporter. It fails a complete run in which a promise has no passed test; a partial run
 * is not checked.
 */
export class PromiseReporter implements Reporter {
  #vitest: Vitest | undefined
  #specifications = 0

  onInit(vitest: Vitest): void {
    this.#vitest = vitest
  }

  onTestRunStart(specifications: readonly TestSpecification[]): void {
    this.#specifications = specifications.length
  }

  async onTestRunEnd(modules: readonly TestModule[]): Promise<void> {
    if (!(await this.#isComplete())) return
    const promised = REQUIREMENTS.map(({ id }) => id)
    const { unproved, unknown } = openPromises(promised, testsOf(modules))
    const lines = [...unproved, ...unknown]
    if (lines.length === 0) {
      process.stdout.write(` Promises  ${promised.length} proved\n`)
      return
    }
    process.stderr.write(
      ` Promises  ${unproved.length} of ${promised.length} not proved\n${lines.map(line => `  ${line}\n`).join('')}`,
    )
    process.exitCode = 1
  }

  /**
   * Whether the run has every file of the projects that prove the promises, and every test of each.
   */
  async #isComplete(): Promise<boolean> {
    const vitest = this.#vitest
    if (vitest === undefined || vitest.getGlobalTestNamePattern?.() !== undefined) return false
    const projects = vitest.projects.map(({ name }) => name)
    if (!PROVING.every(name => projects.includes(name))) return false
    return (await vitest.globTestSpecifications()).length === this.#specifications
  }
}

function* testsOf(modules: readonly TestModule[]): Generator<RanTest> {
  for (const module of modules) {
    for (const test of module.children.allTests()) yield { names: namesOf(test), state: test.result().state }
  }
}

function namesOf(test: TestCase): string[] {
  const names = [test.name]
  for (let at = test.parent; at.type === 'suite'; at = at.parent) names.unshift(at.name)
  return names
}
