// The fuzzer finds a planted fault, and its targets hold for valid and some mutated inputs. `npm
// run fuzz` runs for minutes and is guided by coverage.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { bundleTarget } from './fuzz/bundle.ts'
import { createSignals, explore, type Found } from './fuzz/explore.ts'
import { instrument } from './fuzz/instrument.ts'
import { targetFile, targetNames } from './fuzz/main.ts'
import { mutate } from './fuzz/mutate.ts'
import type { Target } from './fuzz/target.ts'
import { mulberry32 } from './parts/random.ts'

test('P-FUZZED: coverage and comparisons find a fault that random inputs do not reach', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-planted-'))
  try {
    const outfile = join(folder, 'planted.mjs')
    const branches = await bundleTarget('test/fuzz/planted.ts', outfile)
    const signals = createSignals(branches)
    ;(globalThis as { __fuzz?: unknown }).__fuzz = signals
    const { target } = (await import(pathToFileURL(outfile).href)) as { target: Target }
    let found: Found | undefined
    const { executions } = await explore(target, signals, {
      seed: 6,
      onFound(one) {
        found = one
      },
      enough: progress => progress.found > 0 || progress.executions > 300_000,
    })
    expect(found?.error).toMatchObject({ name: 'TypeError', message: 'planted' })
    expect(executions).toBeGreaterThan(100)
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('instrumentation does not change the behaviour of a module', () => {
  const source = `'use strict'
    let log = []
    function g() { 'use strict'; return this === undefined }
    function f(a, b = a ?? 1) { if (a === 1) log.push('one'); else if (a < 2) log.push('less')
      for (const x of [1, 2]) if (x === b) continue; else log.push(x)
      switch (a) { case 1: case 2: log.push('s'); break; default: log.push('d') }
      do log.push('do'); while (false)
      try { if (b === 3) throw 7 } catch (e) { log.push(e) }
      return (() => ({ a, c: a === b ? 'same' : b !== 2 && 'other' }))()
    }
    return [f(1), f(0, 3), f(2), f(5, 2), g(), log]`
  const sensors = 'const __hit = [], __left = x => x, __right = (n, x) => x;'
  const run = (text: string): unknown => new Function(text)()
  expect(run(sensors + instrument(source, { branch: 1, comparison: 1 }))).toEqual(run(source))
})

const CHANGED = 40

test.each(await targetNames())(
  'P-FUZZED: %s holds for valid inputs and for some mutated ones',
  async name => {
    const { target } = (await import(pathToFileURL(targetFile(name)).href)) as { target: Target }
    const seeds = await target.seeds()
    expect(seeds.length).toBeGreaterThan(0)
    for (const seed of seeds) await target.check(Buffer.from(seed))
    const random = mulberry32(1)
    const { maxBytes = 8_192 } = target
    const dictionary = (target.dictionary ?? []).map(word => Buffer.from(word as string))
    const one = (): Uint8Array => seeds[Math.floor(random() * seeds.length)] ?? Buffer.alloc(1)
    for (let i = 0; i < CHANGED; i++) {
      const input = mutate(one(), { other: one(), dictionary, compared: [], maxBytes }, random)
      try {
        await target.check(Buffer.from(input))
      } catch (error) {
        throw new Error(`${name} with ${input.toString('base64')}`, { cause: error })
      }
    }
  },
)
