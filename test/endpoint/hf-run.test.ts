// The command with an endpoint of Hugging Face (a stand-in): woken, used, put to sleep, and fenced
// off when it changes.

import { execFile, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createFastClock, type FakeHf, type FakeHfEndpointOptions, startFakeHf } from '@reembed/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { documents, flags, temporaryFolder, writeJsonl } from '../parts/cli.ts'
import { inProcess } from '../parts/in-process.ts'

const token = 'hf_this-is-the-secret'
let fake: FakeHf
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let env: Record<string, string>
// The stand-in lives 40 times as fast: its 42 s of cold start pass in one.
const clock = createFastClock(40)

beforeEach(async () => {
  folder = await temporaryFolder()
  fake = await startFakeHf({ token, clock })
  env = { HF_TOKEN: token, REEMBED_HF_API: fake.apiUrl }
})
afterEach(async () => {
  await fake[Symbol.asyncDispose]()
  await folder[Symbol.asyncDispose]()
})

const deploy = (options: FakeHfEndpointOptions = {}) =>
  fake.deploy('bge', { token, clock, replica: { dimensions: 8 }, revision: 'one', ...options })

async function command(...args: string[]) {
  const ended = await inProcess(args, env)
  expect(ended.stdout + ended.stderr).not.toContain(token)
  return ended
}

test('a run wakes a sleeping endpoint once, says so, keeps its revision, and puts it to sleep after the last shard', async () => {
  const endpoint = await deploy({ initialState: 'scaledToZero' })
  const source = await writeJsonl(join(folder.path, 'corpus.jsonl'), documents(300))
  const output = join(folder.path, 'vectors')
  const ran = await command(
    'run',
    ...flags({ source, output, endpoint: 'hf:test/bge', 'when-done': 'sleep' }),
    '--json',
  )
  expect(ran.code, ran.stderr).toBe(0)
  expect(ran.stderr).toMatch(
    /bge (scaledToZero|initializing)[\s\S]*bge running after \d[\s\S]*bge is scaled to zero/,
  )
  expect(JSON.parse(ran.stdout)).toMatchObject({ totals: { rows: 300 }, model: { revision: 'one' } })
  expect([endpoint.coldStarts, endpoint.state]).toEqual([1, 'scaledToZero'])
})

test('status, pause, resume, scale and price do what they say; a paused endpoint is explained to a run', async () => {
  const endpoint = await deploy()
  const name = 'hf:test/bge'
  expect((await command('endpoint', 'status', name)).stdout).toMatch(
    /hf:test\/bge {2}running[\s\S]*model@one/,
  )
  expect((await command('endpoint', 'pause', name)).code).toBe(0)
  expect(endpoint.state).toBe('paused')
  const refused = await command('embed', 'a sentence', '--endpoint', name)
  expect([refused.code, refused.stderr]).toEqual([
    5,
    'reembed: hf:test/bge is paused, and requests do not wake it: resume it on Hugging Face (`reembed endpoint resume` starts it)\n',
  ])
  expect((await command('endpoint', 'resume', name)).code).toBe(0)
  expect((await command('endpoint', 'wait', name)).stdout).toBe(`${endpoint.url}\n`)
  expect((await command('endpoint', 'scale', name, '--max', '8', '--min', '0')).stderr).toContain(
    'between 0 and 8',
  )
  expect((await command('endpoint', 'price', 'test')).stdout).toMatch(
    /^\$ {2}0\.033 per hour {2}intel-spr-x1/,
  )
  expect(await command('endpoint', 'status', 'hf:test/gbe')).toMatchObject({
    code: 2,
    stderr: "reembed: namespace 'test' has no endpoint 'gbe': use one of bge\n",
  })
})

const PROGRAMS = {
  curl: ['bash', '-c'],
  python: ['python3', '-c'],
  javascript: [process.execPath, '--input-type=module', '-e'],
} as const

test.for(['curl', 'python', 'javascript'] as const)(
  'embed prints a call in %s that gives the same vector',
  async (language, { skip }) => {
    const needed = language === 'curl' ? 'curl' : PROGRAMS[language][0]
    skip(spawnSync(needed, ['--version']).error !== undefined, `${needed} is not installed`)
    await deploy()
    const text = `it's "one" sentence, über 100 % $HOME`
    const ran = await command('embed', text, '--endpoint', 'hf:test/bge', '--json')
    expect(ran.code, ran.stderr).toBe(0)
    const { calls, vector, dimensions } = JSON.parse(ran.stdout)
    expect(dimensions).toBe(8)
    const [program, ...args] = PROGRAMS[language]
    const { stdout } = await promisify(execFile)(program, [...args, calls[language]], {
      env: { ...process.env, ...env },
    })
    if (language === 'curl') {
      const reply = JSON.parse(stdout)
      const got = Array.isArray(reply) ? reply[0] : reply.data[0].embedding
      expect(got).toEqual(vector.map((value: number) => expect.closeTo(value, 5)))
    } else {
      const rounded = (value: number | string): string => Number(value).toFixed(3)
      expect(stdout.match(/-?\d\.\d+/g)?.map(rounded)).toEqual(vector.slice(0, 3).map(rounded))
    }
  },
)
