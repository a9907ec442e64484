// The safety rules of the protocol, each taken out of the product's own source as it is loaded. A simulation that
// does not notice proves nothing: every one of these must break a promise within a few hundred seeds.

import { registerHooks } from 'node:module'

export interface Mutation {
  readonly name: string
  /** The end of the path of the module. */
  readonly file: string
  /** Stands there exactly once. */
  readonly find: string
  readonly replace: string
}

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'vectors are reused without comparing the recipe',
    file: 'protocol/src/identity.ts',
    find: 'a.spaceId === b.spaceId && a.recipeId === b.recipeId',
    replace: 'true',
  },
  {
    name: 'vectors are reused without comparing the text',
    file: 'shard/src/reuse/reuse-index.ts',
    find: 'locations.get(hash)',
    replace: 'locations.values().next().value',
  },
  {
    name: 'slices are carried over without comparing the etag',
    file: 'shard/src/reuse/slice-locator.ts',
    find: 'canonical(await sliceAt(shard)) === canonical(slice) ? shard : undefined',
    replace: '(await sliceAt(shard))?.parts[0]?.key === first.key ? shard : undefined',
  },
  {
    name: 'puts overwrite',
    file: 'test/simulation/store.ts',
    find: 'if (held && !faults.overwrites) return',
    replace: 'if (held && faults.overwrites) return',
  },
  {
    name: 'no canary in requests',
    file: 'endpoint/src/canary.ts',
    find: 'if (1 - likeness <= tolerance) return outcome',
    replace: 'return outcome',
  },
  {
    name: 'references are measured once',
    file: 'endpoint/src/identity.ts',
    find: 'await confirm(measured, endpoint.url, reopen)',
    replace: '',
  },
  {
    name: 'no order of runs',
    file: 'producer/src/publish.ts',
    find: 'boolean => current.seq >= seq',
    replace: 'boolean => false',
  },
  {
    name: 'a rollback keeps the old place in the order of runs',
    file: 'producer/src/publish.ts',
    find: 'return publishAs(store, manifest, seq)',
    replace: 'return publishAs(store, manifest, manifest.seq)',
  },
  {
    name: 'two runs may take one place in the order',
    file: 'protocol/src/history.ts',
    find: "while ((await putJson(store, seqKey(seq), { format: 1, run })) === 'exists') seq += 1",
    replace: 'await putJson(store, seqKey(seq), { format: 1, run })',
  },
  {
    name: 'who holds the key after a refused put is not looked at',
    file: 'worker/src/process-job.ts',
    find: "return { status: 'already_exists', ...(await readConcurrentShard(store, key, plan, shard)) }",
    replace: "return { status: 'already_done' }",
  },
  {
    name: 'who holds the key before a job is not looked at',
    file: 'worker/src/process-job.ts',
    find: "await readConcurrentShard(store, key, plan, job.shard)\n    return { status: 'already_done' }",
    replace: "return { status: 'already_done' }",
  },
  {
    name: 'the source is read whatever its etag',
    file: 'corpus/src/source/decompress.ts',
    find: '{ start, end, ifMatch: etag, signal }',
    replace: '{ start, end, signal }',
  },
  {
    name: "a sweep believes that the queue's jobs are those of its run",
    file: 'producer/src/sweep.ts',
    find: ' || missing === lastMissing.get(run)',
    replace: '',
  },
  {
    name: 'a put that failed is believed to be done',
    file: 'store/src/confirmed-put.ts',
    find: 'if (mayHaveSucceeded(error)) unknown = true\n      throw error',
    replace: "return 'created'",
  },
  {
    name: 'what the model refuses is left out of its shard',
    file: 'worker/src/build-shard.ts',
    find: 'for (const { kind: _, ...reject } of window.rejects) rejects.push(reject)',
    replace: '',
  },
  {
    name: 'what the model refused is carried over as refused',
    file: 'shard/src/reuse/base-run.ts',
    find: 'if (!footer || footer.receipt.rejects.some(({ reason }) => RETRYABLE_REJECTS.includes(reason)))',
    replace: 'if (!footer)',
  },
  {
    name: 'a sweep queues nothing',
    file: 'producer/src/sweep.ts',
    find: 'await enqueueMissing(queue, store.url, plan, present)',
    replace: '0',
  },
  {
    name: 'gc takes what is young',
    file: 'producer/src/retention.ts',
    find: ' || lastMs < beforeMs)',
    replace: ' || lastMs >= 0)',
  },
  {
    name: 'gc does not look again after it marked a run',
    file: 'producer/src/gc.ts',
    find: 'verdict?.retained || ',
    replace: '',
  },
  {
    name: 'gc takes what is under way',
    file: 'producer/src/retention.ts',
    find: 'if (seq > currentSeq) return [true,',
    replace: 'if (seq > currentSeq) return [false,',
  },
  {
    name: 'what was removed is made again under its old id',
    file: 'producer/src/record.ts',
    find: 'id = replacementIdOf(id)',
    replace: 'break',
  },
]

/** From now on, modules are loaded with this rule taken out. Throws when it is not where it should be. */
export function mutate(name: string): void {
  const mutation = MUTATIONS.find(each => each.name === name)
  if (mutation === undefined) {
    throw new Error(`no mutation '${name}': there are ${MUTATIONS.map(each => each.name).join(', ')}`)
  }
  const { file, find, replace } = mutation
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context)
      if (!url.endsWith(file)) return loaded
      const source = String(loaded.source)
      if (source.split(find).length !== 2) throw new Error(`'${find}' does not stand once in ${file}`)
      return { ...loaded, source: source.replace(find, () => replace) }
    },
  })
}
