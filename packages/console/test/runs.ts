// Runs written to a folder by the functions that the producer uses.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Manifest,
  type Plan,
  putManifest,
  putManifestSegment,
  putPlan,
  takeSeq,
} from '@reembed/protocol'
import { shardKey } from '@reembed/shared'
import { openStore, type Store } from '@reembed/store'

export const RUN: string = 'a'.repeat(26)
export const OTHER: string = 'b'.repeat(26)
const MODEL = { id: 'org/model', revision: 'r1', dimensions: 2, pooling: null, normalized: true }

export interface TemporaryStore extends AsyncDisposable {
  readonly store: Store
  readonly folder: string
}

export async function temporaryStore(): Promise<TemporaryStore> {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-console-'))
  const store = await openStore(folder)
  return {
    store,
    folder,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

export async function plannedRun(store: Store, more: Partial<Plan> = {}): Promise<Plan> {
  const { run = RUN } = more
  const plan: Plan = {
    format: 1,
    run,
    seq: await takeSeq(store, run),
    spaceId: 's',
    recipeId: 'r',
    source: '/corpus',
    recipe: { model: MODEL, prompt: '', fields: null, truncate: true, dtype: 'float32' },
    shards: 4,
    slicesPerSegment: 16,
    objects: 1,
    bytes: 10,
    estimatedDocuments: 100,
    snapshotSha256: 'x',
    maxRejects: '1%',
    ...more,
  }
  await putPlan(store, plan)
  return plan
}

/** As many as finalizing puts into one. */
const SHARDS_PER_SEGMENT = 1_024

export async function finishedRun(
  store: Store,
  { run, seq, shards }: Plan,
  rejects = 0,
  actualCost?: Manifest['actualCost'],
): Promise<Manifest> {
  const rows = 100 - rejects
  const manifest: Manifest = {
    format: 1,
    run,
    seq,
    spaceId: 's',
    recipeId: 'r',
    source: '/corpus',
    model: MODEL,
    prompt: '',
    fields: null,
    shards,
    shardsPerSegment: SHARDS_PER_SEGMENT,
    totals: { documents: 100, rows, rejects, tokens: 990, bytes: 9, truncated: 0, repaired: 0 },
    rejectReasons: rejects > 0 ? { empty_text: rejects } : {},
    shardsSha256: 'x',
    ...(actualCost && { actualCost }),
  }
  const entries = Array.from({ length: shards }, (_, shard) => ({
    key: shardKey(run, shard, shards),
    bytes: 1,
    rows: 25,
    rejects: shard === 0 ? rejects : 0,
    tokens: 200,
    bodySha256: 'x',
  }))
  for (let segment = 0; segment * SHARDS_PER_SEGMENT < shards; segment += 1) {
    const from = segment * SHARDS_PER_SEGMENT
    await putManifestSegment(store, run, segment, entries.slice(from, from + SHARDS_PER_SEGMENT))
  }
  await putManifest(store, manifest)
  return manifest
}
