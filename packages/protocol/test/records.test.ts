import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import {
  gatesKey,
  loadedShardKey,
  loadKey,
  manifestKey,
  manifestSegmentKey,
  modelKey,
  planKey,
  planSegmentKey,
  queriesKey,
  runStateKey,
  seqKey,
  tickDoneKey,
  tickKey,
  ticksSinceKey,
  versionKey,
} from '@reembed/shared'
import { openStore, type Store } from '@reembed/store'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { EXPORT_RECORD_KEY, putExportRecord, readExportRecord } from '../src/export-record.ts'
import { getGateReport, putGateReport, readQueries } from '../src/gate-report.ts'
import { putVersion, readCurrent, readSeq, takeSeq } from '../src/history.ts'
import { putLoadedShard, putLoadRecord, readLoadedShards, readLoadRecords } from '../src/load-record.ts'
import { putManifest, readManifest, readManifestShards } from '../src/manifest.ts'
import { putModelReference, readModelReference } from '../src/model-reference.ts'
import { putPlan, readPlan, readSliceSegment } from '../src/plan.ts'
import { assertReceiptReadable } from '../src/receipt.ts'
import { appendRunState, failRun, readRunStateRecord, setRunState } from '../src/run-state.ts'
import {
  getTickClaim,
  putTickClaim,
  putTickOutcome,
  putTicksSince,
  readTickOutcome,
  readTicksSince,
} from '../src/tick.ts'

const RUN = 'a'.repeat(26)
const AT = '2026-11-29T20:00:00.000Z'
const MODEL = { id: 'org/model', revision: null, dimensions: 2, pooling: null, normalized: true }
let folder: string
let store: Store
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-records-'))
  store = await openStore(folder)
})
afterEach(() => rm(folder, { recursive: true }))

const corrupt = (message: RegExp) => ({ code: 'CORRUPT', message: expect.stringMatching(message) })

/** A kind of object: key, valid value, reader, writer, and changes that make it invalid. */
interface Kind {
  readonly key: string
  readonly valid: object
  readonly read: () => Promise<unknown>
  readonly put: (value: never) => Promise<unknown>
  readonly invalid: readonly [object, RegExp][]
}

const version = { version: 1, run: RUN, seq: 3, manifestSha256: 'ab', action: 'publish', at: AT, by: 'ada' }
const state = { number: 1, state: 'paused', by: 'ada', at: AT, reason: 'nightly window' }
const quote = {
  tokens: 10,
  canaryTokens: 1,
  relativeError: null,
  inputs: 4,
  sampled: 4,
  tokensPerSecond: 8.5,
  seconds: 2,
  price: { perHour: 0.6, replicas: 1 },
  dollars: 0.1,
  coldStartSeconds: 0,
}
const plan = {
  format: 1,
  run: RUN,
  seq: 1,
  spaceId: 's',
  recipeId: 'r',
  source: '/corpus',
  recipe: { model: MODEL, prompt: '', fields: { id: 'id', text: 'text' }, truncate: true, dtype: 'float32' },
  shards: 1,
  slicesPerSegment: 16,
  objects: 1,
  bytes: 10,
  estimatedDocuments: 1.5,
  snapshotSha256: 'ab',
  maxRejects: '1%',
  gates: ['recall@10 min 0.5'],
  evaluation: { sha256: 'ab', queries: 2 },
  quote,
}
const manifest = {
  format: 1,
  run: RUN,
  seq: 1,
  spaceId: 's',
  recipeId: 'r',
  source: '/corpus',
  model: MODEL,
  prompt: '',
  fields: null,
  shards: 1,
  shardsPerSegment: 16,
  totals: { documents: 1, rows: 1, rejects: 0, tokens: null, bytes: 9, truncated: 0, repaired: 0 },
  rejectReasons: { empty: 1 },
  baseRun: { run: RUN, removedRows: null },
  quote,
  actualCost: { tokens: 1, endpointSeconds: 0.5, dollars: null },
  shardsSha256: 'ab',
}
const reference = {
  format: 1,
  model: MODEL,
  texts: ['a', 'b'],
  vectors: [
    [1, 0],
    [0, 1],
  ],
  radius: 0,
}
const loaded = {
  number: 1,
  action: 'load',
  address: 'postgres://db/search',
  name: 'wiki',
  target: 'wiki_1',
  run: RUN,
  proof: { load: 'x', shardsSha256: 'ab', shards: 1, rows: 1, refused: 0, sampled: 1, compared: 'bits' },
}
const report = {
  evaluation: 'ab',
  scores: { 'recall@10': [0.5] },
  results: [{ gate: 'g', passed: true, message: 'm' }],
}

const KINDS: Record<string, Kind> = {
  'a plan': {
    key: planKey(RUN),
    valid: plan,
    read: () => readPlan(store, RUN),
    put: value => putPlan(store, value),
    invalid: [
      [{ run: 'b' }, /it belongs to run b$/],
      [{ recipe: { ...plan.recipe, dtype: 'float64' } }, /recipe\.dtype is invalid/],
      [{ recipe: { ...plan.recipe, chunking: { maxTokens: 0 } } }, /recipe\.chunking.* is invalid/],
      [{ quote: { ...quote, seconds: '2' } }, /quote\.seconds is invalid/],
      [{ evaluation: {} }, /evaluation\.sha256 is invalid/],
      [{ slicing: { sliceBytes: 1 } }, /slicing\.maxParts is invalid/],
      [{ format: 2 }, /format is invalid/],
    ],
  },
  'a manifest': {
    key: manifestKey(RUN),
    valid: manifest,
    read: () => readManifest(store, RUN),
    put: value => putManifest(store, value),
    invalid: [
      [{ run: 'b' }, /it belongs to run b$/],
      [{ totals: { ...manifest.totals, tokens: 12.5 } }, /totals\.tokens is invalid/],
      [{ rejectReasons: { empty: -1 } }, /rejectReasons\.empty is invalid/],
      [{ baseRun: { run: '' } }, /baseRun\.run is invalid/],
      [{ actualCost: { tokens: 1 } }, /actualCost\.endpointSeconds is invalid/],
    ],
  },
  'a version': {
    key: versionKey(1),
    valid: version,
    read: () => readCurrent(store),
    put: value => putVersion(store, value),
    invalid: [
      [{ run: '' }, /run is invalid/],
      [{ version: 2 }, /it contains version 2$/],
      [{ at: 'yesterday' }, /at is invalid/],
      [{ action: 'erase' }, /action is invalid/],
      [{ format: 2 }, /format is invalid/],
    ],
  },
  'a sequence entry': {
    key: seqKey(1),
    valid: { run: RUN },
    read: () => readSeq(store),
    put: ({ run }: { run: string }) => takeSeq(store, run),
    invalid: [
      [{ run: '' }, /run is invalid/],
      [{ run: null }, /run is invalid/],
    ],
  },
  'a run state record': {
    key: runStateKey(RUN, 1),
    valid: state,
    read: () => readRunStateRecord(store, RUN),
    put: value => appendRunState(store, RUN, { number: 0, state: 'running' }, value),
    invalid: [
      [{ state: 'removed' }, /state is invalid/],
      [{ previousState: 'deleted' }, /previousState is invalid/],
      [{ maxTokens: -1 }, /maxTokens is invalid/],
      [{ failure: { code: 'ODD', message: '' } }, /failure\.code is invalid/],
      [{ at: 5 }, /at is invalid/],
    ],
  },
  'a model reference': {
    key: modelKey(MODEL.id, MODEL.revision),
    valid: reference,
    read: () => readModelReference(store, MODEL),
    put: value => putModelReference(store, value),
    invalid: [
      [{ vectors: [] }, /vectors is invalid/],
      [{ texts: [], vectors: [] }, /texts is invalid/],
      [{ vectors: [[1, 0]] }, /vectors must have 2 rows of 2 numbers$/],
      [{ vectors: [[1, 0], [1]] }, /vectors must have 2 rows of 2 numbers$/],
      [{ vectors: [[1, 0], []] }, /vectors\[1\] is invalid/],
      [
        {
          vectors: [
            [1, 0],
            [null, 1],
          ],
        },
        /vectors\[1\]\[0\] is invalid/,
      ],
      [
        {
          vectors: [
            [1, 0],
            [0, 0],
          ],
        },
        /vectors\[1\] is zero$/,
      ],
      [{ radius: null }, /radius is invalid/],
      [{ format: 2 }, /format is invalid/],
    ],
  },
  'a gate report': {
    key: gatesKey(RUN, undefined),
    valid: report,
    read: () => getGateReport(store, gatesKey(RUN, undefined)),
    put: value => putGateReport(store, gatesKey(RUN, undefined), value),
    invalid: [
      [{ scores: { rows: ['1'] } }, /scores\.rows\[0\] is invalid/],
      [{ results: undefined }, /results is invalid/],
      [{ results: [{ gate: 'g', passed: 'yes', message: '' }] }, /results\[0\]\.passed is invalid/],
    ],
  },
  'a tick outcome': {
    key: tickDoneKey('nightly', 0),
    valid: { status: 'planned', run: RUN },
    read: () => readTickOutcome(store, 'nightly', 0),
    put: value => putTickOutcome(store, 'nightly', 0, value),
    invalid: [
      [{ status: 'lost' }, /status is invalid/],
      [{ run: '' }, /run is invalid/],
    ],
  },
  'a tick claim': {
    key: tickKey('nightly', 0),
    valid: { claimedAt: AT, claimId: 'x' },
    read: () => getTickClaim(store, tickKey('nightly', 0)),
    put: value => putTickClaim(store, tickKey('nightly', 0), value),
    invalid: [
      [{ claimedAt: 'yesterday' }, /claimedAt is invalid/],
      [{ claimId: '' }, /claimId is invalid/],
    ],
  },
  'a schedule start': {
    key: ticksSinceKey('nightly'),
    valid: { since: AT },
    read: () => readTicksSince(store, 'nightly'),
    put: ({ since }: { since: string }) => putTicksSince(store, 'nightly', Date.parse(since)),
    invalid: [[{ since: undefined }, /since is invalid/]],
  },
  'a record of a vector store': {
    key: loadKey(1),
    valid: loaded,
    read: () => Array.fromAsync(readLoadRecords(store)),
    put: value => putLoadRecord(store, value),
    invalid: [
      [{ run: 'b' }, /run is invalid/],
      [{ action: 'move' }, /action is invalid/],
      [{ proof: undefined }, /it records a load without its proof$/],
      [{ proof: { ...loaded.proof, compared: 'roughly' } }, /proof\.compared is invalid/],
      [{ proof: { ...loaded.proof, rows: -1 } }, /proof\.rows is invalid/],
      [{ target: '' }, /target is invalid/],
    ],
  },
  'a record of a loaded shard': {
    key: loadedShardKey(RUN, 'x', 0, 1),
    valid: { shard: 0, rows: 1, refused: [{ id: 'a', reason: 'too long' }] },
    read: () => Array.fromAsync(readLoadedShards(store, { run: RUN, shards: 1 }, 'x')),
    put: value => putLoadedShard(store, { run: RUN, shards: 1 }, 'x', value),
    invalid: [
      [{ rows: 0.5 }, /rows is invalid/],
      [{ refused: [{ id: 'a', reason: '' }] }, /refused\[0\]\.reason is invalid/],
      [{ refused: undefined }, /refused is invalid/],
    ],
  },
  'an export record': {
    key: EXPORT_RECORD_KEY,
    valid: { run: RUN, layout: 'hf', ranges: { min: [0], max: [1] } },
    read: () => readExportRecord(store),
    put: value => putExportRecord(store, value),
    invalid: [
      [{ ranges: { min: [0] } }, /ranges\.max is invalid/],
      [{ ranges: { min: [0], max: [1, 2] } }, /ranges\.min and ranges\.max differ in length/],
      [{ run: '' }, /run is invalid/],
    ],
  },
}

const write = (key: string, value: object | string) =>
  store.putIfAbsent(
    key,
    Buffer.from(typeof value === 'string' ? value : JSON.stringify({ format: 1, ...value })),
  )

describe.each(Object.entries(KINDS))('%s', (_name, { key, valid, read, put, invalid }) => {
  test('is read as it was put', async () => {
    await put({ format: 1, ...valid } as never)
    expect(await store.head(key)).toBeDefined()
    await read()
  })

  test.each(invalid)('with %j is CORRUPT, and the message names its key', async (change, message) => {
    await write(key, { ...valid, ...change })
    await expect(read()).rejects.toMatchObject(corrupt(message))
    await expect(read()).rejects.toThrow(key)
  })

  test.each(['', '{', '[]', '{}', 'null', '"text"'])('of the bytes %j is CORRUPT', async bytes => {
    await write(key, bytes)
    await expect(read()).rejects.toMatchObject({ code: 'CORRUPT', message: expect.stringContaining(key) })
  })
})

test.each(
  Object.entries(KINDS).flatMap(([name, { invalid, ...kind }]) =>
    invalid
      // The key and the time are derived when a value is put.
      .filter(([change]) => !['run', 'version', 'at', 'format', 'since'].some(field => field in change))
      .map(([change]) => [name, change, kind] as const),
  ),
)('%s with %j is refused by its own writer, and nothing is written', async (_name, change, kind) => {
  await expect(kind.put({ format: 1, ...kind.valid, ...change } as never)).rejects.toMatchObject({
    code: 'INTERNAL',
    message: expect.stringContaining(kind.key),
  })
  expect(await store.head(kind.key)).toBeUndefined()
})

test.each(
  (['a plan', 'a manifest', 'a version', 'a run state record'] as const).flatMap(name =>
    [-1, 2 ** 53, 1e300, 0.5, '1', true, [1], {}].map(number => [name, number] as const),
  ),
)('%s with the number %j is CORRUPT', async (name, number) => {
  const field = {
    'a plan': 'shards',
    'a manifest': 'shardsPerSegment',
    'a version': 'seq',
    'a run state record': 'number',
  }[name]
  const kind = KINDS[name]
  const object = { format: 1, ...kind?.valid, [field]: number }
  await store.putIfAbsent(kind?.key ?? '', Buffer.from(JSON.stringify(object)))
  await expect(kind?.read()).rejects.toMatchObject(corrupt(/is invalid|contains/))
})

const slice = {
  parts: [{ key: 'a', etag: 'e', size: 9, format: 'jsonl', start: 0, end: 9, compression: 'gzip' }],
} as const
const shard = { key: 'k', bytes: 1, rows: 1, rejects: 0, tokens: null, bodySha256: 'ab' }
const query = { id: 'q', relevant: { d: 1 }, vector: [1, 0] }

test.each<[string, string, object, object, () => Promise<unknown>]>([
  [
    'slices',
    planSegmentKey(RUN, 0),
    slice,
    { parts: [{ ...slice.parts[0], compression: 'br' }] },
    () => readSliceSegment(store, plan as never, 0),
  ],
  [
    'slices',
    planSegmentKey(RUN, 0),
    slice,
    { parts: [{ ...slice.parts[0], table: { delimiter: ',' } }] },
    () => readSliceSegment(store, plan as never, 0),
  ],
  [
    'shards',
    manifestSegmentKey(RUN, 0),
    shard,
    { ...shard, rows: -1 },
    () => Array.fromAsync(readManifestShards(store, manifest as never)),
  ],
  ['query vectors', queriesKey(RUN), query, { ...query, vector: ['1'] }, () => readQueries(store, RUN)],
  ['query vectors', queriesKey(RUN), query, { ...query, vector: [] }, () => readQueries(store, RUN)],
])('%s at %s with an invalid row are CORRUPT', async (_name, key, valid, invalid, read) => {
  const rows = async (row: object) => store.putIfAbsent(key, gzipSync(JSON.stringify([row])))
  await rows(invalid)
  await expect(read()).rejects.toMatchObject(corrupt(/\[0\].* is invalid/))
  await expect(read()).rejects.toThrow(key)
  await rm(join(folder, key))
  await expect(read()).rejects.toMatchObject({ code: 'CORRUPT' })
  await store.putIfAbsent(key, Buffer.alloc(0))
  await expect(read()).rejects.toMatchObject({ code: 'CORRUPT', message: expect.stringContaining(key) })
  await rm(join(folder, key))
  await rows(valid)
  await read()
})

test('a receipt with half a token is refused before its shard is put', () => {
  const receipt = {
    format: 1,
    run: RUN,
    shard: 3,
    shards: 4,
    spaceId: 's',
    recipeId: 'r',
    model: MODEL,
    source: [],
    documents: 0,
    rows: 0,
    rejects: [],
    tokens: 12,
    truncated: 0,
    repaired: 0,
    bodySha256: 'a'.repeat(64),
  } as const
  assertReceiptReadable(receipt)
  expect(() => assertReceiptReadable({ ...receipt, tokens: 12.5 })).toThrow(
    /shard 3 of run a+ was not written: tokens of its receipt is invalid/,
  )
})

test('the latest run state record is the state of the run, and running without records', async () => {
  expect(await readRunStateRecord(store, RUN)).toEqual({ number: 0, state: 'running' })
  await setRunState(store, RUN, 'paused', { by: 'ada', reason: 'nightly window' })
  expect(await readRunStateRecord(store, RUN)).toMatchObject({
    number: 1,
    state: 'paused',
    by: 'ada',
    reason: 'nightly window',
    at: expect.stringMatching(/^\d{4}-/),
  })
  await setRunState(store, RUN, 'running')
  expect(await readRunStateRecord(store, RUN)).toMatchObject({ number: 2, state: 'running' })
})

test('a worker or a sweeper changes the state only of a running run', async () => {
  await setRunState(store, RUN, 'cancelled', { by: 'ada' })
  await failRun(store, RUN, { code: 'DUPLICATE_ID', message: 'twice' }, 'sweeper')
  await setRunState(store, RUN, 'paused', { budgetExceeded: 'used up', onlyRunning: true })
  expect(await readRunStateRecord(store, RUN)).toMatchObject({ number: 1, state: 'cancelled', by: 'ada' })
})
