// The commands by which an operator controls runs: rollback, publish, pause, cancel, resume.

import { appendFile, chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { putLoadRecord, readCurrent, readManifest, readSeq } from '@reembed/protocol'
import { loadKey } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { documents, flags, start, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'
import { openPlace, type Place } from './parts/place.ts'

let place: Place

beforeEach(async () => {
  place = await openPlace(40)
})
afterEach(() => place[Symbol.asyncDispose]())

const runArgs = (...more: string[]): string[] => ['run', ...planningArgs(), '--json', ...more]
const planningArgs = (): string[] => {
  const { source, output, endpoint, redis } = place
  return flags({ source, output, endpoint, redis, 'documents-per-shard': '10' })
}

async function command(...args: string[]) {
  const { code, stdout, stderr } = await inProcess([...args, '--output', place.output, '--json'])
  return { code, result: stdout === '' ? undefined : JSON.parse(stdout), stderr }
}

test('P-ROLLBACK: a rollback makes a version with its own sequence number, which later sweeps leave unchanged', async () => {
  const first = JSON.parse((await inProcess(runArgs())).stdout)
  await appendFile(place.source, '{"id":"new","text":"added later"}\n')
  const second = JSON.parse((await inProcess(runArgs())).stdout)
  expect(second).toMatchObject({ status: 'published', version: 2 })

  const back = await command('rollback')
  expect(back).toMatchObject({ code: 0, result: { run: first.run, status: 'published' } })
  await using store = await openStore(place.output)
  expect(await readCurrent(store)).toMatchObject({ version: 3, run: first.run, seq: 3 })
  expect((await readSeq(store)).map(({ run }) => run)).toEqual([first.run, second.run, first.run])

  // The run that was rolled back from is finished and newer than the current one, but stays
  // unpublished.
  const again = JSON.parse((await inProcess(runArgs())).stdout)
  expect(again).toMatchObject({ run: second.run, status: 'superseded' })
  const queued = await inProcess(['enqueue', ...planningArgs()])
  expect(queued.stdout).toContain(`not published by workers: version 3 is the newer run ${first.run}`)
  expect(await command('publish', second.run)).toMatchObject({ code: 3, result: { status: 'superseded' } })
  expect(await command('publish', second.run, '--force')).toMatchObject({
    code: 0,
    result: { status: 'published' },
  })
  expect(await readCurrent(store)).toMatchObject({ version: 4, run: second.run, seq: 4 })
  expect((await command('verify')).code).toBe(0)
})

test('P-ROLLBACK: a rollback to a version makes its run current again, and a second one changes nothing', async () => {
  const runs: string[] = []
  for (const id of ['a', 'b', 'c']) {
    await appendFile(place.source, `{"id":"${id}","text":"added as ${id}"}\n`)
    runs.push(JSON.parse((await inProcess(runArgs())).stdout).run)
  }
  const [first] = runs
  expect(await command('rollback', '1')).toMatchObject({
    code: 0,
    result: { run: first, status: 'published' },
  })
  await using store = await openStore(place.output)
  expect(await readCurrent(store)).toMatchObject({ version: 4, run: first, action: 'rollback' })
  // Version 4 and version 1 are of one run.
  expect(await command('rollback', '4')).toMatchObject({ code: 0, result: { status: 'already_current' } })
  expect(await command('rollback', first?.slice(0, 8) ?? '')).toMatchObject({
    result: { status: 'already_current' },
  })
  const unknown = await command('rollback', '7')
  expect(unknown.code).toBe(2)
  expect(unknown.stderr).toContain('has no version 7: give a number of its published versions, or a run')
  expect(await readCurrent(store)).toMatchObject({ version: 4 })
})

test('P-GATE: a run that is planned again with other gates states that it keeps those of its plan', async () => {
  const enqueue = (...gate: string[]) => inProcess(['enqueue', ...planningArgs(), '--gate', ...gate])
  // What is not given again is no other limit.
  expect((await enqueue('rows drop 5%', '--max-rejects', '5%')).stderr).not.toContain('keeps')
  const { stdout, stderr } = await enqueue('rejects max 1%')
  expect(stderr.replaceAll('\n', ' ')).toContain(
    'this run was planned before, and its plan keeps gates: rows drop 5% (given now: rejects max 1%)',
  )
  expect(stdout).toMatch(
    /queued +no jobs added: they are queued already, or another process carries shards over/,
  )
  expect((await enqueue('rows drop 5%')).stderr).not.toContain('keeps')
})

test('P-GATE: a held run is decided again with other gates without new embedding when its shards have another size', async () => {
  const source = place.source
  expect((await inProcess(runArgs())).code).toBe(0)
  await writeJsonl(source, documents(20))
  const held = JSON.parse((await inProcess(runArgs('--gate', 'rows drop 5%'))).stdout)
  expect(held.status).toBe('held')
  const kept = await inProcess(runArgs('--gate', 'rows drop 60%'))
  expect(kept.stderr.replaceAll('\n', ' ')).toContain(
    'Another --documents-per-shard plans a run of its own with it, which keeps the vectors of this one',
  )
  const args = flags({ source, output: place.output, endpoint: place.endpoint, redis: place.redis })
  const again = ['run', ...args, '--documents-per-shard', '11', '--gate', 'rows drop 60%', '--json']
  const decided = JSON.parse((await inProcess(again)).stdout)
  expect(decided).toMatchObject({ status: 'published', totals: { rows: 20, reused: 20 } })
  expect(decided.run).not.toBe(held.run)
})

test('P-ROLLBACK: a rollback names the vector stores that still use the other run, and the commands that switch them', async () => {
  const first = JSON.parse((await inProcess(runArgs())).stdout)
  await appendFile(place.source, '{"id":"new","text":"added later"}\n')
  const second = JSON.parse((await inProcess(runArgs())).stdout)
  await using store = await openStore(place.output)
  const record = async (action: 'load' | 'switch', address: string, name: string, run: string) => {
    const { shardsSha256 = '', shards = 0 } = (await readManifest(store, run)) ?? {}
    const proof = { load: 'l', shardsSha256, shards, rows: 40, refused: 0, sampled: 40, compared: 'bits' }
    const target = `${name}_${run.slice(0, 12)}`
    await putLoadRecord(store, {
      ...{ action, address, name, run, target },
      ...(action === 'load' && { proof: { ...proof, compared: 'bits' } }),
    })
  }
  const [both, one, back] = ['postgres://db/search', 'qdrant+https://q.example', 'postgres://other/search']
  for (const run of [first.run, second.run]) {
    await record('load', both, 'wiki', run)
    await record('load', back, 'wiki', run)
  }
  await record('switch', both, 'wiki', second.run)
  await record('load', one, 'docs', second.run)
  await record('switch', one, 'docs', second.run)
  await record('switch', back, 'wiki', first.run)

  const { code, stdout } = await inProcess(['rollback', '--output', place.output])
  expect(code).toBe(0)
  const text = stdout.replaceAll(/\s+/g, ' ')
  const where = (address: string, name: string) => `--output ${place.output} --to ${address} --name ${name}`
  expect(text).toContain(
    `searches wiki in ${both} still uses run ${second.run}: \`reembed switch ${where(both, 'wiki')}\``,
  )
  // The run is not in this store any more.
  expect(text).toContain(
    `docs in ${one} still uses run ${second.run}: \`reembed load ${where(one, 'docs')}\`, then \`reembed switch ${where(one, 'docs')}\``,
  )
  expect(text).not.toContain(back)
})

test('P-ROLLBACK: a rollback tells its outcome although a record of a vector store is torn', async () => {
  const first = JSON.parse((await inProcess(runArgs())).stdout)
  await appendFile(place.source, '{"id":"new","text":"added later"}\n')
  const second = JSON.parse((await inProcess(runArgs())).stdout)
  await using store = await openStore(place.output)
  const where = { address: 'postgres://db/search', name: 'wiki', target: 'wiki_1', run: second.run }
  const { number } = await putLoadRecord(store, { ...where, action: 'switch' })
  const key = loadKey(number)
  const path = join(place.output, key)
  await chmod(path, 0o644)
  await writeFile(path, '{"address":')

  const { code, stdout } = await inProcess(['rollback', '--output', place.output])
  expect(code).toBe(0)
  expect(stdout).toContain(`${first.run}  published as version 3`)
  expect(stdout.replaceAll(/\s+/g, ' ')).toContain(`searches vector stores were not examined: ${key} in`)
  // A program gets no such row, and waits for no records.
  const back = await inProcess(['rollback', second.run, '--output', place.output, '--json'])
  expect(JSON.parse(back.stdout)).toMatchObject({ run: second.run, status: 'published' })
})

test('P-ROLLBACK: a rollback is refused when the current version is the only one', async () => {
  expect((await inProcess(runArgs())).code).toBe(0)
  const { code, stderr } = await command('rollback')
  expect(code).toBe(2)
  expect(stderr).toMatch(/is the only one ever published in .*: no earlier version exists/)
})

test('P-HOLD: a run that was held for its rejects is published when the operator allows them', async () => {
  await appendFile(place.source, '{"id":"empty","text":""}\n')
  const held = await inProcess(runArgs('--max-rejects', '0'))
  expect(held.code).toBe(3)
  const { run } = JSON.parse(held.stdout)
  expect(await command('publish', run)).toMatchObject({ code: 3, result: { status: 'held' } })
  // A finished run is published with the limit that is given now.
  const again = await inProcess(runArgs('--max-rejects', '0.1'))
  expect(again.code).toBe(3)
  expect(again.stderr).not.toContain('keeps')
  // `enqueue` publishes no finished run.
  expect((await inProcess(['enqueue', ...planningArgs(), '--max-rejects', '1'])).stderr).toContain(
    'its plan keeps limit of rejects: 0 (given now: 1)',
  )
  expect(await command('publish', run, '--max-rejects', '1')).toMatchObject({
    code: 0,
    result: { status: 'published' },
  })
})

test('P-PAUSE: workers start no job of a paused run, and every document is embedded once after a resume', async () => {
  const { run } = JSON.parse((await inProcess(['enqueue', ...planningArgs(), '--json'])).stdout)
  expect(await command('pause', run)).toMatchObject({ code: 0, result: { state: 'paused' } })
  const worker = start(
    ['worker', '--output', place.output, '--endpoint', place.endpoint, '--redis', place.redis],
    {
      REEMBED_LOG: 'info',
    },
  )
  await worker.line(/job ended without a shard: its run is paused/)
  worker.child.kill('SIGTERM')
  expect((await worker.finished).code).toBe(0)
  expect((await command('status', run)).result).toMatchObject({ state: 'paused', shardsDone: 0 })
  const refused = await inProcess(runArgs())
  expect(refused.code).toBe(1)
  expect(refused.stderr).toMatch(
    new RegExp(`run ${run} is paused: resume it to continue \\(.reembed resume. continues it\\)`),
  )

  expect(await command('resume', run)).toMatchObject({ code: 0, result: { state: 'running' } })
  expect(JSON.parse((await inProcess(runArgs())).stdout)).toMatchObject({
    run,
    status: 'published',
    totals: { documents: 40, rows: 40 },
  })
  expect((await command('cancel', run)).stderr).toMatch(/is finished: there is nothing to stop/)
})
