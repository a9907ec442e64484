// Every command of README.md and docs/recipes.md, run in the order of the page as it stands: only
// the names of hosts, and RUN, are replaced.

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type LocalRedis, startRedis } from '@reembed/local'
import { type FakeTei, type S3Server, startFakeTei, startS3Server } from '@reembed/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { documents, type Running, reembed, start, temporaryFolder } from './parts/cli.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
/** Commands of other programs: npm run demo and npm test are test/demo.test.ts and this run. */
const OTHERS = /^(docker run|npm run demo|npm test|\$ |run {2}|documents {2}|\d\.\d{4} |runs\/|versions\/)/
/** Both pages start local models, which other work on the machine slows down. */
const PATIENT_MS = 500_000
/** Commands that work until they are stopped. */
const DAEMONS = ['worker', 'producer']

const stack: AsyncDisposable[] = []
let folder: string
let redis: LocalRedis
let tei: FakeTei
let newTei: FakeTei
let s3: S3Server

beforeEach(async () => {
  const root = await temporaryFolder()
  folder = root.path
  ;[redis, tei, newTei, s3] = await Promise.all([
    startRedis(),
    startFakeTei({ dimensions: 8, sha: 'old' }),
    startFakeTei({ dimensions: 8, sha: 'new' }),
    startS3Server({ buckets: ['corpora', 'vectors'] }),
  ])
  stack.push(redis, tei, newTei, s3, root)
  const corpus = documents(700)
  s3.bucket('corpora').put(
    'wiki/a.jsonl',
    Buffer.from(corpus.map(one => `${JSON.stringify(one)}\n`).join('')),
    {},
  )
  await mkdir(join(folder, 'docs'))
  await writeFile(
    join(folder, 'docs', 'refunds.md'),
    '# Refunds\n\nWrite to us, and we pay your money back.\n',
  )
  await writeFile(join(folder, 'docs', 'owls.md'), '# Owls\n\nOwls hunt at night.\n')
  const asked = corpus.filter((_, i) => i % 20 === 0)
  await writeFile(
    join(folder, 'queries.jsonl'),
    asked.map(({ id, text }) => `${JSON.stringify({ _id: `q-${id}`, text })}\n`).join(''),
  )
  await writeFile(
    join(folder, 'qrels.tsv'),
    `query-id\tcorpus-id\tscore\n${asked.map(({ id }) => `q-${id}\t${id}\t1\n`).join('')}`,
  )
})
afterEach(async () => {
  for (const part of stack.splice(0)) await part[Symbol.asyncDispose]()
})

/** The lines of the blocks without a language, or of a shell, without their comments. */
async function linesOf(page: string): Promise<string[]> {
  const text = await readFile(join(ROOT, page), 'utf8')
  const blocks = [...text.matchAll(/^```(\w*)\n([\s\S]*?)^```/gm)]
  return blocks.flatMap(([, language, block = '']) =>
    (language === '' || language === 'sh' ? block : '')
      .split('\n')
      .flatMap(line => line.replace(/\s+# .*$/, '').trim() || []),
  )
}

/** 'reembed search "two words"' -> ['search', 'two words'] */
const wordsOf = (command: string): string[] =>
  [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '').slice(1)

const atOurHosts = (word: string): string =>
  word
    .replace('http://new-tei:8080', newTei.url)
    .replace('http://tei:8080', tei.url)
    .replace('rediss://redis:6379', redis.url)

/**
 * Runs the commands of a page in order. Each is a process with a folder of its own, so that no
 * command of a test that timed out writes to the folder of another one.
 */
async function runPage(page: string, signal: AbortSignal): Promise<number> {
  const daemons: Running[] = []
  const env: Record<string, string> = { ...s3.env }
  let ran = 0
  try {
    for (const line of await linesOf(page)) {
      signal.throwIfAborted()
      const [, name, value = ''] = /^export (\w+)=(\S+)$/.exec(line) ?? []
      if (name !== undefined) {
        env[name] = atOurHosts(value)
        continue
      }
      if (!/^(\.\/)?reembed /.test(line)) {
        expect(line, `${page} has a command that no test runs`).toMatch(OTHERS)
        continue
      }
      const args = wordsOf(line).map(atOurHosts)
      if (DAEMONS.includes(args[0] ?? '')) {
        for (const one of daemons.splice(0)) one.child.kill()
        daemons.push(start(args, env, folder))
      } else {
        const { code, stdout, stderr } = await reembed(args, env, folder)
        expect(code, `${line}\n${stdout}${stderr}`).toBe(0)
      }
      ran += 1
    }
  } finally {
    for (const { child, finished } of daemons) {
      child.kill()
      await finished
    }
  }
  return ran
}

test(
  'every command of the README works as it stands',
  async ({ signal }) => {
    expect(await runPage('README.md', signal)).toBeGreaterThanOrEqual(6)
  },
  PATIENT_MS,
)

test(
  'every command of the recipes works as it stands',
  async ({ signal }) => {
    expect(await runPage('docs/recipes.md', signal)).toBeGreaterThanOrEqual(25)
  },
  PATIENT_MS,
)
