// Ids, file names, a model name and messages with control characters, through every command that
// prints them.

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { temporaryFolder, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'

const EVIL = '\u001b]0;title\u0007\u001b[2J\u009b31m\rreembed: all is well\nrun      forged\u202e'

let folder: Awaited<ReturnType<typeof temporaryFolder>>
let redis: LocalRedis
let tei: TeiServer
let output: string
let places: string[]
beforeAll(async () => {
  folder = await temporaryFolder()
  redis = await startRedis()
  const model = `evil${EVIL}/model`
  tei = await serveTei({ engine: createHashEngine({ dimensions: 8, model, sha: EVIL }) })
  output = join(folder.path, 'vectors')
  const source = join(folder.path, 'corpus')
  await mkdir(source)
  await writeJsonl(join(source, `a${EVIL}.jsonl`), [
    ...Array.from({ length: 20 }, (_, i) => ({ id: `${i}${EVIL}`, text: `number ${i} ${EVIL}` })),
    { id: `empty${EVIL}`, text: '' },
  ])
  places = ['--source', source, '--output', output, '--endpoint', tei.url]
})
afterAll(async () => {
  for (const each of [tei, redis, folder]) await each[Symbol.asyncDispose]()
})

test('no command prints a control character or a line that an id, a name or a message forged', async () => {
  const of = ['--output', output]
  const commands = [
    ['plan', ...places],
    ['run', ...places, '--redis', redis.url, '--max-rejects', '5', '--include-text'],
    ['status', ...of, '--redis', redis.url],
    ['ls', ...of],
    ['versions', ...of],
    ['verify', ...of],
    ['rejects', ...of],
    ['rejects', ...of, '--json'],
    ['current', ...of, '--json'],
    ['search', 'number 3', ...of, '--endpoint', tei.url, '--show-text'],
    ['doctor', ...of, '--endpoint', tei.url],
    ['embed', EVIL, '--endpoint', tei.url],
    ['gc', ...of],
    ['export', '--layout', 'pgvector', '--to', join(folder.path, 'export'), ...of],
    ['status', EVIL, ...of],
    ['run', '--source', join(folder.path, EVIL), ...of, '--endpoint', tei.url],
    ['endpoint', 'status', `hf:${EVIL}`],
  ]
  for (const args of commands) {
    const { code, stdout, stderr } = await inProcess(args)
    if (args[0] === 'run' && args.includes('--redis')) expect(code, stderr).toBe(0)
    if (args[0] === 'rejects') expect(stdout).toContain('empty\\u001b]0;title\\u0007')
    const printed = stdout + stderr
    const what = `${args[0]}: ${JSON.stringify(printed.slice(0, 2_000))}`
    expect(printed, what).not.toMatch(/[^\P{Cc}\n\t]|[\u2028-\u202e]/u)
    expect(printed, what).not.toMatch(/^(?:reembed: all is well|run {6}forged)/m)
  }
}, 60_000)

test('CSV of rejects is exact in a pipe', async () => {
  const { stdout } = await inProcess(['rejects', '--output', output, '--csv'])
  expect(stdout).toContain(`empty${EVIL}`)
})
