// A whole run in this process, without a queue: plan, every job one after the other, finalize,
// publish. The product's own functions on a real folder and a real endpoint.

import { ensureReference, modelOf, openEndpoint } from '@reembed/endpoint'
import {
  findBaseRun,
  openCorpus,
  type PlannedRun,
  type PlanRequest,
  planRun,
  recordPlan,
} from '@reembed/planner'
import { carryUnchanged, finalize, publish } from '@reembed/producer'
import { type Manifest, type Plan, shardsPresent } from '@reembed/protocol'
import { readEmbeddings } from '@reembed/shard'
import { openStore, type Store } from '@reembed/store'
import { createEmbedder, createRunCache, processJob } from '@reembed/worker'

export interface MadeRun {
  readonly plan: Plan
  readonly manifest: Manifest
}

/** Plans as the command does, the base of the same output included, and carries it out. */
export async function makeRun(
  { source, output, url }: { readonly source: string; readonly output: string; readonly url: string },
  request: Partial<PlanRequest> = {},
): Promise<MadeRun> {
  await using store = await openStore(output, { create: true })
  await using corpus = await openCorpus(source)
  await using endpoint = await openEndpoint(url)
  await ensureReference(store, endpoint)
  const planned = await planRun(corpus, {
    model: modelOf(endpoint),
    findBaseRun: ids => findBaseRun(store, ids),
    ...request,
  })
  return carryOut(store, planned, url)
}

/** Does what was planned. */
export async function carryOut(store: Store, planned: PlannedRun, url: string): Promise<MadeRun> {
  const { plan } = await recordPlan(store, planned)
  await carryUnchanged(store, plan, await shardsPresent(store, plan))
  await embedAll(store, plan, url)
  const manifest = await finalize(store, plan)
  await publish(store, manifest, plan)
  return { plan, manifest }
}

/** Makes the shards of a recorded plan, or only the first `count` of them. */
export async function embedAll(store: Store, plan: Plan, url: string, count?: number): Promise<void> {
  await using runs = createRunCache({ outputs: [store.url], sources: [plan.source] })
  await using embedder = createEmbedder(url)
  const { signal } = new AbortController()
  for (let shard = 0; shard < (count ?? plan.shards); shard += 1) {
    const job = { output: store.url, run: plan.run, shard }
    await processJob(job, await runs.open(job), embedder, { signal, reportDocuments: () => {} })
  }
}

/** The bytes of each vector of a run by id. */
export async function vectorsOf(output: string, run: string): Promise<Map<string, string>> {
  const vectors = new Map<string, string>()
  for await (const { ids, vectors: rows, dimensions } of readEmbeddings(output, { run })) {
    for (const [row, id] of ids.entries()) {
      const vector = rows.slice(row * dimensions, (row + 1) * dimensions)
      vectors.set(id, Buffer.from(vector.buffer).toString('hex'))
    }
  }
  return vectors
}
