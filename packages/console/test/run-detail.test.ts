import type { Store } from '@reembed/store'
import { expect, test } from 'vitest'
import { createRunDetails } from '../src/data/run-detail.ts'
import { finishedRun, plannedRun, temporaryStore } from './runs.ts'

test('the manifest of a finished run is read once for its map and its rates, however many runs are open', async () => {
  await using made = await temporaryStore()
  const read: string[] = []
  const store: Store = new Proxy(made.store, {
    get(target, name, receiver) {
      if (name !== 'stream') return Reflect.get(target, name, receiver)
      return (key: string) => {
        if (key.includes('/manifest-')) read.push(key)
        return made.store.stream(key)
      }
    },
  })
  const manifests = []
  for (const letter of 'abcdefgh')
    manifests.push(await finishedRun(made.store, await plannedRun(made.store, { run: letter.repeat(26) })))
  const details = createRunDetails()
  for (let poll = 0; poll < 3; poll += 1) {
    for (const manifest of manifests) {
      const [cells] = await Promise.all([details.cells(store, manifest), details.rates(store, manifest)])
      expect(cells.counts.done).toBe(4)
    }
  }
  expect(new Set(read).size).toBe(manifests.length)
  expect(read).toHaveLength(manifests.length)
})
