// Reuse and retries by the command: output and exit codes.

import { join } from 'node:path'
import { createHashEngine, type LocalRedis, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { planRetry } from '@reembed/producer'
import { readCurrentManifest } from '@reembed/shard'
import { openStore } from '@reembed/store'
import { startFakeTei } from '@reembed/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { documents, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'
import { carryOut, makeRun, vectorsOf } from './parts/make-run.ts'

let redis: LocalRedis
let tei: TeiServer
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let output: string

beforeEach(async () => {
  folder = await temporaryFolder()
  ;[tei, redis] = await Promise.all([serveTei({ engine: createHashEngine({ dimensions: 8 }) }), startRedis()])
  output = join(folder.path, 'vectors')
})
afterEach(async () => {
  for (const part of [tei, redis, folder]) await part[Symbol.asyncDispose]()
})

const corpus = (written: readonly { id: string; text: string }[]): Promise<string> =>
  writeJsonl(join(folder.path, 'corpus.jsonl'), written)

function command(name: string, ...more: string[]) {
  const source = name === 'run' || name === 'plan' ? ['--source', join(folder.path, 'corpus.jsonl')] : []
  const queue = name === 'plan' ? [] : ['--redis', redis.url]
  return inProcess([name, ...more, ...source, '--output', output, '--endpoint', tei.url, ...queue])
}

test('P-REUSE: plan, run and status show reused vectors, and another space is refused with exit code 6', async () => {
  const before = [...documents(60), { id: 'empty', text: ' ' }]
  await corpus(before)
  const first = await command('run', '--max-rejects', '5%')
  expect(first).toMatchObject({ code: 0, stdout: expect.not.stringMatching(/reused/) })

  await corpus([...before.slice(2), { id: 'new', text: 'a new one' }])
  const plan = await command('plan', '--explain')
  expect(plan.stdout).toMatch(/^embeds +about \d+ of about \d+ documents$/m)
  expect(plan.stdout).toMatch(
    /^looked up +1 shard with changes.*: \d+\.\d % of sampled texts already have vectors$/m,
  )
  const second = await command('run', '--max-rejects', '5%')
  const row =
    /^texts +1 embedded, 58 vectors reused from run [a-z2-7]{26}; 2 documents of that run no longer exist$/m
  expect(second.stdout).toMatch(row)
  // The quote covers only texts that are sent.
  const { quote } = await readCurrentManifest(output)
  expect(quote?.inputs).toBeGreaterThan(0)
  expect(quote?.inputs).toBeLessThan(6)
  const run = /^run +([a-z2-7]{26})/m.exec(second.stdout)?.[1] ?? ''
  const status = await inProcess(['status', run, '--output', output])
  expect(status.stdout).toMatch(row)

  const mixed = await command('run', '--prompt', 'passage: ', '--reuse-from', run)
  expect(mixed.code).toBe(6)
  expect(mixed.stderr).toMatch(new RegExp(`vectors of run ${run} cannot be reused: the recipe differs`))

  const retried = await command('retry', run, '--rejects')
  expect(retried.code).toBe(2)
  expect(retried.stderr).toMatch(
    /the rejects of run [a-z2-7]{26} come from the corpus \(empty_text 1\): correct them there/,
  )
})

test('P-RETRY: a retry embeds the documents that the model refused, reuses the others, and is published', async () => {
  const poisoned = documents(400)
  const source = await corpus(poisoned)
  await using fake = await startFakeTei({ dimensions: 8 })
  const sick = (text: string): boolean => / topic (13|14)$/.test(text)
  fake.faults.nan = sick
  const place = { source, output, url: fake.url }
  const { plan, manifest } = await makeRun(place, { documentsPerShard: 50, maxRejects: '50%' })
  const bad = poisoned.filter(({ text }) => sick(text)).length
  expect(manifest.totals).toMatchObject({ documents: 400, rejects: bad })

  fake.faults.nan = undefined
  await using store = await openStore(output)
  const again = await carryOut(store, await planRetry(store, plan.run), fake.url)
  expect(again.manifest.totals).toMatchObject({ documents: 400, rejects: 0, reused: 400 - bad })
  const [before, after] = [await vectorsOf(output, plan.run), await vectorsOf(output, again.plan.run)]
  expect(after.size).toBe(400)
  for (const [id, vector] of before) expect(after.get(id)).toBe(vector)
  await expect(planRetry(store, again.plan.run)).rejects.toThrow(/has no rejects/)
  await expect(planRetry(store, plan.run)).rejects.toThrow(/is older than version 2, of run/)
})
