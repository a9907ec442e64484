import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  gatesKey,
  modelKey,
  queriesKey,
  runStateKey,
  tickDoneKey,
  tickKey,
  ticksSinceKey,
} from '@reembed/shared'
import { openStore, putJson, putRows, type Store } from '@reembed/store'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { EXPORT_RECORD_KEY, readExportRecord } from '../src/export-record.ts'
import { getGateReport, readQueries } from '../src/gate-report.ts'
import { readModelReference } from '../src/model-reference.ts'
import { readRunState, readRunStateRecord } from '../src/run-state.ts'
import { getTickClaim, readTickOutcome, readTicksSince } from '../src/tick.ts'

const RUN = 'a'.repeat(26)
let folder: string
let store: Store
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-records-'))
  store = await openStore(folder)
})
afterEach(() => rm(folder, { recursive: true }))

const corrupt = (message: RegExp) => ({ code: 'CORRUPT', message: expect.stringMatching(message) })

describe('a model reference', () => {
  const model = { id: 'org/model', revision: null, dimensions: 2, pooling: null, normalized: true }
  const valid = {
    format: 1,
    model,
    texts: ['a', 'b'],
    vectors: [
      [1, 0],
      [0, 1],
    ],
    radius: 0,
  }
  const key = modelKey(model.id, model.revision)

  test('reads back, and is undefined where the store has none', async () => {
    expect(await readModelReference(store, model)).toBeUndefined()
    await putJson(store, key, valid)
    expect(await readModelReference(store, model)).toEqual(valid)
  })

  test.each([
    [
      'no vectors',
      { vectors: [] },
      /models\/.* is not a model reference that reembed wrote: vectors is invalid$/,
    ],
    ['no texts', { texts: [], vectors: [] }, /texts is invalid$/],
    ['fewer vectors than texts', { vectors: [[1, 0]] }, /vectors must have 2 rows of 2 numbers$/],
    ['a shorter vector', { vectors: [[1, 0], [1]] }, /vectors must have 2 rows of 2 numbers$/],
    ['an empty vector', { vectors: [[1, 0], []] }, /vectors\[1\] is invalid$/],
    [
      'a null in a vector',
      {
        vectors: [
          [1, 0],
          [null, 1],
        ],
      },
      /vectors\[1\]\[0\] is invalid$/,
    ],
    ['another format', { format: 2 }, /format is invalid$/],
  ])('is CORRUPT with %s', async (_what, change, message) => {
    await putJson(store, key, { ...valid, ...change })
    await expect(readModelReference(store, model)).rejects.toMatchObject(corrupt(message))
  })
})

test.each<[string, string, unknown, () => Promise<unknown>, RegExp]>([
  [
    'a gate report',
    gatesKey(RUN, undefined),
    { evaluation: null, scores: { rows: ['1'] }, results: [] },
    () => getGateReport(store, gatesKey(RUN, undefined)),
    /scores\.rows\[0\] is invalid/,
  ],
  [
    'a gate report',
    gatesKey(RUN, undefined),
    { evaluation: null, scores: {} },
    () => getGateReport(store, gatesKey(RUN, undefined)),
    /results is invalid/,
  ],
  [
    'a tick outcome',
    tickDoneKey('nightly', 0),
    { status: 'lost', run: RUN },
    () => readTickOutcome(store, 'nightly', 0),
    /status is invalid/,
  ],
  [
    'a tick claim',
    tickKey('nightly', 0),
    { claimedAt: 'yesterday', claimId: 'x' },
    () => getTickClaim(store, tickKey('nightly', 0)),
    /claimedAt is invalid/,
  ],
  [
    'a schedule start',
    ticksSinceKey('nightly'),
    {},
    () => readTicksSince(store, 'nightly'),
    /since is invalid/,
  ],
  [
    'an export record',
    EXPORT_RECORD_KEY,
    { run: RUN, layout: 'hf', ranges: { min: [0] } },
    () => readExportRecord(store),
    /ranges\.max is invalid/,
  ],
  [
    'a run state record',
    runStateKey(RUN, 1),
    { number: 1, state: 'removed' },
    () => readRunState(store, RUN),
    /state is invalid/,
  ],
  [
    'a run state record',
    runStateKey(RUN, 1),
    { number: 1, state: 'deleting', previousState: 'deleted' },
    () => readRunState(store, RUN),
    /previousState is invalid/,
  ],
])('%s with an invalid field is CORRUPT: %s', async (_what, key, value, read, message) => {
  await putJson(store, key, value)
  await expect(read()).rejects.toMatchObject(corrupt(message))
})

test('query vectors with an invalid field are CORRUPT', async () => {
  await putRows(store, queriesKey(RUN), [{ id: 'q', relevant: { d: 1 }, vector: ['1'] }])
  await expect(readQueries(store, RUN)).rejects.toMatchObject(corrupt(/\[0\]\.vector\[0\] is invalid/))
})

test('the latest run state record is the state of the run, and running without records', async () => {
  expect(await readRunStateRecord(store, RUN)).toEqual({ number: 0, state: 'running' })
  for (const [i, state] of ['paused', 'deleting', 'deleted'].entries())
    await putJson(store, runStateKey(RUN, i + 1), { number: i + 1, state })
  expect(await readRunState(store, RUN)).toBe('deleted')
})
