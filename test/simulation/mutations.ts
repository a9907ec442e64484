// The safety rules of the protocol. Each mutation removes one from the product's own source as it
// is loaded, and must break a promise within a few hundred seeds. A simulation that does not notice
// it proves nothing.

import { registerHooks } from 'node:module'

export interface Mutation {
  readonly name: string
  /** The end of the path of the module. */
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly find: string
  readonly replace: string
  /** A seed that broke a promise; seeds are tried from it on. It saves the search for it. */
  readonly from?: number
}

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'vectors are reused without comparing the recipe',
    from: 23,
    file: 'protocol/src/identity.ts',
    find: 'vectorsOf(a) === vectorsOf(b)',
    replace: 'true',
  },
  {
    name: 'vectors are reused without comparing the text',
    file: 'shard/src/reuse/reuse-index.ts',
    find: 'shard.hashes.rowOf(hash)',
    replace: '0',
  },
  {
    name: 'slices are carried over without comparing the etag',
    file: 'shard/src/reuse/slice-locator.ts',
    find: 'canonical(await sliceAt(shard)) === canonical(slice) ? shard : undefined',
    replace: '(await sliceAt(shard))?.parts[0]?.key === first.key ? shard : undefined',
  },
  {
    name: 'nothing is enqueued after shards were carried over',
    file: 'producer/src/enqueue.ts',
    find: 'if ((await queue.withFinalizeLease(of, carry)) === undefined) return 0',
    replace: 'await queue.withFinalizeLease(of, carry)\n    return 0',
  },
  {
    name: 'puts overwrite',
    file: 'test/simulation/store.ts',
    find: 'if (held && !faults.overwrites) return',
    replace: 'if (held && faults.overwrites) return',
  },
  {
    name: 'requests have no canary',
    file: 'endpoint/src/canary.ts',
    find: 'if (1 - likeness <= tolerance)',
    replace: '',
  },
  {
    name: 'references are measured only once',
    file: 'endpoint/src/identity.ts',
    find: 'await confirm(measured, endpoint)',
    replace: '0',
  },
  {
    name: 'publishing ignores sequence numbers',
    from: 99,
    file: 'producer/src/publish.ts',
    find: 'boolean => current.seq >= seq',
    replace: 'boolean => false',
  },
  {
    name: 'a rollback keeps the old sequence number',
    file: 'producer/src/publish.ts',
    find: "return publishAs(store, manifest, seq, { action: 'rollback', ...actor })",
    replace: "return publishAs(store, manifest, manifest.seq, { action: 'rollback', ...actor })",
  },
  {
    name: 'two runs may have one sequence number',
    from: 26,
    file: 'protocol/src/history.ts',
    find: "while ((await sequence.put(store, seqKey(seq), { run })) === 'exists') seq += 1",
    replace: 'await sequence.put(store, seqKey(seq), { run })',
  },
  {
    name: 'the object that refused a put is not checked',
    from: 47,
    file: 'worker/src/process-job.ts',
    find: "return { status: 'already_exists', ...(await readConcurrentShard(store, key, plan, shard, slice)) }",
    replace: "return { status: 'already_done' }",
  },
  {
    name: 'an existing object is not checked before a job',
    from: 47,
    file: 'worker/src/process-job.ts',
    find: 'await readConcurrentShard(store, key, plan, job.shard, slice)\n    } catch',
    replace: '} catch',
  },
  {
    name: 'the source is read without comparing its etag',
    file: 'formats/src/bytes/decompress.ts',
    find: '{ start, end, ifMatch: etag, signal }',
    replace: '{ start, end, signal }',
  },
  {
    name: 'a sweep enqueues no shard that is missing',
    file: 'producer/src/sweep.ts',
    find: 'if (waiting + active + delayed >= missing) return false',
    replace: 'return false',
  },
  {
    name: 'a sweep takes all jobs of the queue for jobs of its run',
    from: 30,
    file: 'producer/src/sweep.ts',
    find: 'await queue.counts(of)',
    replace: 'await queue.counts()',
  },
  {
    name: 'a failed put counts as done',
    file: 'store/src/confirmed-put.ts',
    find: 'if (mayHaveSucceeded(error)) unknown = true\n      throw error',
    replace: "return 'created'",
  },
  {
    name: 'a refused document is missing in its shard',
    file: 'worker/src/build-shard.ts',
    find: 'for (const { kind: _, ...reject } of window.rejects) rejects.push(reject)',
    replace: '',
  },
  {
    name: 'a reject is reused as a reject',
    file: 'shard/src/reuse/base-run.ts',
    find: 'if (footer.receipt.rejects.some(({ reason }) => RETRYABLE_REJECTS.includes(reason)))',
    replace: 'if (false)',
  },
  {
    name: 'a sweep enqueues nothing',
    file: 'producer/src/sweep.ts',
    find: 'await enqueueMissing(queue, store, plan, present, { signal })',
    replace: '0',
  },
  {
    name: 'a worker that is not proven fails jobs',
    from: 21,
    file: 'queue/src/disposition.ts',
    find: 'count > 0 && (isProven || others?.length === 0)',
    replace: 'count > 0',
  },
  {
    name: 'many observations of one worker fail a job',
    from: 36,
    file: 'queue/src/disposition.ts',
    find: 'if (count < MAX_OBSERVATIONS || others === undefined) return false',
    replace: 'return count >= MAX_OBSERVATIONS / 4',
  },
  {
    name: 'carrying shards over keeps the job of the first shard',
    from: 130,
    file: 'producer/src/enqueue.ts',
    find: 'await queue.withFinalizeLease(of, carry)',
    replace: 'await queue.withFinalizeLease(of, carry, { ...of, shard: 0 })',
  },
  {
    name: 'workers keep the jobs of superseded runs',
    from: 26,
    file: 'worker/src/process-job.ts',
    find: 'if (isSuperseded(plan, runState, await readCurrent(store))) return undefined',
    replace: '',
  },
  {
    name: 'the object of another program keeps the job of a superseded run',
    from: 6_151,
    file: 'worker/src/process-job.ts',
    find: "if ((await runningStateOf(store, plan)) === undefined) return { status: 'stopped' }\n      throw",
    replace: 'throw',
  },
  {
    name: 'gc deletes young objects',
    from: 40,
    file: 'producer/src/retention.ts',
    find: ' || lastMs < beforeMs)',
    replace: ' || lastMs >= 0)',
  },
  {
    name: 'gc does not check a run again after marking it',
    from: 184,
    file: 'producer/src/gc.ts',
    find: 'decision?.retained || ',
    replace: '',
  },
  {
    name: 'gc deletes unfinished runs',
    file: 'producer/src/retention.ts',
    find: 'if (seq > currentSeq) return [true,',
    replace: 'if (seq > currentSeq) return [false,',
  },
  {
    name: 'a deleted run is planned again under its old id',
    file: 'planner/src/record-plan.ts',
    find: 'id = replacementIdOf(id)',
    replace: 'break',
  },
  {
    name: 'job ids lack the output',
    file: 'queue/src/names.ts',
    find: 'outputId(output)}$',
    replace: "''}$",
  },
  {
    name: 'a worker serves every output',
    file: 'queue/src/progress.ts',
    find: 'url === served ||',
    replace: 'true ||',
  },
]

/**
 * Removes the rule from all modules that are loaded later. Throws if the snippet does not occur
 * exactly once, or, at the exit of the process, if its file was never loaded.
 */
export function mutate(name: string): void {
  const mutation = MUTATIONS.find(each => each.name === name)
  if (mutation === undefined) {
    throw new Error(`no mutation '${name}': there are ${MUTATIONS.map(each => each.name).join(', ')}`)
  }
  const { file, find, replace } = mutation
  let isLoaded = false
  process.on('exit', () => {
    if (!isLoaded) throw new Error(`${file} was never loaded: correct the file of the mutation '${name}'`)
  })
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context)
      if (!url.endsWith(`/${file}`)) return loaded
      isLoaded = true
      const source = String(loaded.source)
      if (source.split(find).length !== 2) throw new Error(`'${find}' must occur exactly once in ${file}`)
      return { ...loaded, source: source.replace(find, () => replace) }
    },
  })
}
