import { ReembedError } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { expect, test } from 'vitest'
import { createLoadJobs } from '../src/load-shard.ts'

test('a worker that has loaded a shard stays proven until three loads in a row fail', async () => {
  let failure: Error | undefined
  const loads = createLoadJobs({
    stores: [],
    async load() {
      if (failure) throw failure
      return { rows: 1, refused: [] }
    },
    async [Symbol.asyncDispose]() {},
  })
  await using output = await openStore(import.meta.dirname)
  const { signal } = new AbortController()
  const context = { signal, reportFinished: async () => {} } as never
  const load = () => loads.run(output, { output: output.url, run: 'r', shard: 0 }, context)
  const fail = () => load().catch(() => loads.isProven)

  failure = new ReembedError('UNBALANCED', 'a poisonous shard')
  expect(await fail()).toBe(false)
  failure = undefined
  await load()
  failure = new ReembedError('UNBALANCED', 'a poisonous shard')
  expect([await fail(), await fail(), await fail()]).toEqual([true, true, false])
  expect(loads.fault).toBe('a poisonous shard')
  failure = undefined
  await load()
  expect([loads.isProven, loads.fault]).toEqual([true, undefined])
})
