// `reembed … | head`: a reader that closes the pipe ends a command quietly.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createHashEngine, serveTei, type TeiServer } from '@reembed/local'
import { mapConcurrent } from '@reembed/shared'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { flags, start, temporaryFolder } from './parts/cli.ts'
import { makeRun } from './parts/make-run.ts'

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let tei: TeiServer
let run: string

beforeAll(async () => {
  folder = await temporaryFolder()
  tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
  const source = join(folder.path, 'a.jsonl')
  const rows = Array.from({ length: 20 }, (_, id) => ({ id: String(id), text: id === 7 ? '' : `text ${id}` }))
  await writeFile(source, rows.map(row => `${JSON.stringify(row)}\n`).join(''))
  const made = await makeRun(
    { source, output: join(folder.path, 'vectors'), url: tei.url },
    { maxRejects: '5' },
  )
  run = made.plan.run
})
afterAll(async () => {
  await Promise.all([tei[Symbol.asyncDispose](), folder[Symbol.asyncDispose]()])
})

/** Commands that print by each of the ways that the command has. */
const printing = (): string[][] => {
  const [output, source] = [join(folder.path, 'vectors'), join(folder.path, 'a.jsonl')]
  const of = (...args: string[]): string[] => [...args, ...flags({ output })]
  return [
    ['--help'],
    ['config', '--schema'],
    ['plan', ...flags({ source, endpoint: tei.url })],
    of('ls', '--json'),
    of('status', run),
    of('rejects', run),
    of('verify', run),
    [...of('search', 'text 1'), ...flags({ endpoint: tei.url })],
  ]
}

test('a command that prints ends quietly with its exit code when the reader closes the pipe', async () => {
  const ended = mapConcurrent(
    printing(),
    async args => {
      const { child, finished } = start(args)
      child.stdout?.destroy()
      return { args: args.join(' '), ...(await finished) }
    },
    { concurrency: 2 },
  )
  for await (const { args, code, stderr } of ended) {
    expect(code, `${args}: ${stderr}`).toBe(0)
    expect(stderr, args).not.toMatch(/EPIPE|write|Error|\n {4}at /)
  }
})
