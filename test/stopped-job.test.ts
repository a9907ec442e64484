// Jobs of a run that is over, whose shard another program wrote: no worker keeps them.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureReference, modelOf, openEndpoint } from '@reembed/endpoint'
import { openCorpus, planRun, recordPlan } from '@reembed/planner'
import { setRunState } from '@reembed/protocol'
import { shardKey } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { startFakeTei } from '@reembed/testing'
import { createRunCache, processJob } from '@reembed/worker'
import { expect, onTestFinished, test } from 'vitest'
import { documents, writeJsonl } from './parts/cli.ts'

test('the job of a cancelled run ends although its shard cannot be read, that of a running one fails', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  await using tei = await startFakeTei()
  await using store = await openStore(join(folder, 'vectors'), { create: true })
  await using corpus = await openCorpus(await writeJsonl(join(folder, 'corpus.jsonl'), documents(3)))
  await using endpoint = await openEndpoint(tei.url)
  await ensureReference(store, endpoint)
  const { plan } = await recordPlan(store, await planRun(corpus, { model: modelOf(endpoint) }))
  await store.putIfAbsent(shardKey(plan.run, 0, plan.shards), Buffer.from('of another program'))

  await using runs = createRunCache({ outputs: [store.url], sources: [plan.source] })
  const job = { output: store.url, run: plan.run, shard: 0 }
  const embedder = {
    embed: () => {
      throw new Error('nothing is embedded')
    },
  }
  const context = { signal: new AbortController().signal, reportDocuments: () => {} }
  const process = async () => processJob(job, await runs.open(job), embedder, context)

  await expect(process()).rejects.toMatchObject({ code: 'CORRUPT' })
  await setRunState(store, plan.run, 'cancelled', {})
  expect(await process()).toEqual({ status: 'stopped' })
})
