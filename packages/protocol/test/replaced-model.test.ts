// When a run is paused because its model was replaced: only if nothing else can finish or supersede
// it.

import { mkdtemp, rm, utimes } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { seqKey, shardKey } from '@reembed/shared'
import { openStore, type Store } from '@reembed/store'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { takeSeq } from '../src/history.ts'
import { type Manifest, putManifest } from '../src/manifest.ts'
import { type Plan, putPlan } from '../src/plan.ts'
import { pauseReplacedModel } from '../src/replaced-model.ts'
import { readRunStateRecord, setRunState } from '../src/run-state.ts'

const SHARDS = 4
const MODEL = { id: 'org/model', revision: 'r1', dimensions: 2, pooling: null, normalized: true }
const NEWER_MODEL = { ...MODEL, revision: 'r2' }
const MINUTE_MS = 60_000

let folder: string
let store: Store
let old: Plan
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-replaced-'))
  store = await openStore(folder)
  old = await planned('a'.repeat(26), MODEL)
})
afterEach(() => rm(folder, { recursive: true }))

async function planned(run: string, model: typeof MODEL): Promise<Plan> {
  const plan: Plan = {
    format: 1,
    run,
    seq: await takeSeq(store, run),
    spaceId: 's',
    recipeId: 'r',
    source: '/corpus',
    recipe: { model, prompt: '', fields: null, truncate: true, dtype: 'float32' },
    shards: SHARDS,
    slicesPerSegment: 16,
    objects: 1,
    bytes: 10,
    estimatedDocuments: 100,
    snapshotSha256: 'x',
    maxRejects: '1%',
  }
  await putPlan(store, plan)
  return plan
}

async function newer(model = NEWER_MODEL, { isFinished = true } = {}): Promise<void> {
  const plan = await planned('b'.repeat(26), model)
  if (!isFinished) return
  const { run, seq, source } = plan
  const totals = { documents: 9, rows: 9, rejects: 0, tokens: 9, bytes: 9, truncated: 0, repaired: 0 }
  const manifest: Manifest = {
    ...{ format: 1, run, seq, spaceId: 's', recipeId: 'r', source, model, prompt: '', fields: null },
    ...{ shards: SHARDS, shardsPerSegment: 16, totals, rejectReasons: {}, shardsSha256: 'x' },
    actualCost: { tokens: 9, endpointSeconds: 1, dollars: 0 },
  }
  await putManifest(store, manifest)
}

/** Puts a shard of the old run that is `minutes` old. */
async function shardBefore(minutes: number): Promise<void> {
  const key = shardKey(old.run, 0, SHARDS)
  await store.putIfAbsent(key, Buffer.from('shard'))
  await setAge(key, minutes)
}

async function setAge(key: string, minutes: number): Promise<void> {
  const at = (Date.now() - minutes * MINUTE_MS) / 1000
  await utimes(join(folder, key), at, at)
}

const pause = async (): Promise<boolean> =>
  pauseReplacedModel(store, old, await readRunStateRecord(store, old.run), Date.now())

const stateOfRun = async () => (await readRunStateRecord(store, old.run)).state

test('a run is paused if it got no shard for 30 minutes and a newer run of another model is finished', async () => {
  await newer()
  await setAge(seqKey(old.seq), 60)
  await shardBefore(31)
  expect(await pause()).toBe(true)
  expect(await readRunStateRecord(store, old.run)).toMatchObject({
    state: 'paused',
    by: 'worker',
    modelReplaced: expect.stringMatching(
      /^no worker reached its model org\/model@r1 for 30 minutes, and the newer run b+ of org\/model@r2 is finished: deploy/,
    ),
  })
})

const kept: Record<string, () => Promise<void>> = {
  'a shard is 29 minutes old': async () => {
    await newer()
    await setAge(seqKey(old.seq), 60)
    await shardBefore(29)
  },
  'it was planned 29 minutes ago': async () => {
    await newer()
    await setAge(seqKey(old.seq), 29)
  },
  'an operator resumed it': async () => {
    await newer()
    await setAge(seqKey(old.seq), 60)
    await setRunState(store, old.run, 'paused')
    await setRunState(store, old.run, 'running')
  },
  'no newer run exists': () => setAge(seqKey(old.seq), 60),
  'the newer run is not finished': async () => {
    await newer(NEWER_MODEL, { isFinished: false })
    await setAge(seqKey(old.seq), 60)
  },
  'the newer run has the same model': async () => {
    await newer(MODEL)
    await setAge(seqKey(old.seq), 60)
  },
}

test.each(Object.entries(kept))('a run is kept if %s', async (_name, make) => {
  await make()
  expect(await pause()).toBe(false)
  expect(await stateOfRun()).toBe('running')
})
