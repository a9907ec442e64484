// Where a run is loaded, as its status shows it.

import { putLoadOrder, putLoadRecord, putVersion } from '@reembed/protocol'
import { loadRun, openVectorStore, switchStore } from '@reembed/sinks'
import { openStore } from '@reembed/store'
import { expect, test, vi } from 'vitest'
import type { QueueView } from '../../packages/producer/src/run-status/facts.ts'
import { readLoads } from '../../packages/producer/src/run-status/loads.ts'
import { loadText } from '../../packages/render/src/stored-run.ts'
import { makeRun } from '../export/run.ts'
import { temporaryFolder } from '../parts/cli.ts'
import { startElasticsearch } from '../parts/elasticsearch.ts'
import { memoryStore } from '../shard/parts.ts'

test('the status of a run lists its targets, which of them searches use, and a load in progress', async () => {
  await using server = await startElasticsearch('9.3.0')
  await using folder = await temporaryFolder()
  await using output = await openStore(folder.path)
  const { manifest } = await makeRun(output)
  await putVersion(output, { version: 1, run: manifest.run, seq: 1, manifestSha256: '' })
  await using vectors = await openVectorStore(`elasticsearch+${server.url}`)
  await loadRun(output, manifest, vectors, { name: 'wiki' })
  await switchStore(output, vectors, { name: 'wiki' })
  await loadRun(output, manifest, vectors, { name: 'staged' })
  const { address } = vectors
  const target = 'next_abcdefghijkl'
  const order = { load: 'a-load', address, name: 'next', target, run: manifest.run }
  await putLoadOrder(output, { ...order, by: 'test' })

  const failing = { waiting: 2, active: 0, delayed: 1, failed: 0 }
  const queue = {
    counts: async () => failing,
    workers: async () => [],
    failures: async () => [],
  } as unknown as QueueView
  const loads = await readLoads(output, queue, manifest)
  expect(loads).toMatchObject([
    { target, state: 'loading', shards: 3, shardsDone: 0, jobs: failing },
    { name: 'staged', state: 'loaded', rows: 300, refused: 0 },
    { name: 'wiki', state: 'in_use', rows: 300, shardsDone: 3 },
  ])
  const now = Date.now()
  const lines = loads.map(load => loadText(load, now).replace(`${address} `, ''))
  expect(lines).toEqual([
    expect.stringMatching(
      /^next_abcdefghijkl: loading for .*, 0 of 3 shards; waiting: no worker loads into elasticsearch/,
    ),
    'staged_abcdefghijkl: loaded, 300 rows; searches for staged do not use it',
    expect.stringMatching(/^wiki_abcdefghijkl: searches for wiki use it for .*, 300 rows$/),
  ])
})

test('a load that is older than every record that is read is not shown as in progress', async () => {
  const output = memoryStore()
  const { run, shards } = { run: 'a'.repeat(26), shards: 3 }
  const at = { address: 'qdrant+http://127.0.0.1:6333', name: 'wiki', target: 'wiki_aaaaaaaaaaaa', run }
  vi.useFakeTimers({ toFake: ['Date'], now: 0 })
  try {
    await putLoadOrder(output, { ...at, load: 'ended-long-ago' })
    for (let second = 1; second <= 200; second += 1) {
      vi.setSystemTime(1_000 * second)
      await putLoadRecord(output, { ...at, action: 'switch' })
    }
    expect(await readLoads(output, undefined, { run, shards })).toEqual([])
    await putLoadOrder(output, { ...at, target: 'wiki_bbbbbbbbbbbb', load: 'new' })
    expect(await readLoads(output, undefined, { run, shards })).toMatchObject([
      { state: 'loading', target: 'wiki_bbbbbbbbbbbb' },
    ])
  } finally {
    vi.useRealTimers()
  }
})
