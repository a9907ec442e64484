// A shard: whatever was done to it, it is refused as CORRUPT, unless it is byte for byte as it was
// written. With recomputed hashes it may be taken, and then all ways of reading it agree.

import { checkShard, readIds, readReceipt, readShard } from '@reembed/shard'
import { resigned } from '../../parts/resigned.ts'
import { makeRun } from '../run.ts'
import { memoryStore, must, refusing, type Target } from '../target.ts'

const KEY = 'a.parquet'
let made: Promise<Buffer[]> | undefined
const shards = (): Promise<Buffer[]> => {
  made ??= makeRun(['one', 'two', '', 'three', 'four', 'five', 'six', '', 'seven', 'größe']).then(
    ({ objects }) => [...objects].filter(([key]) => key.endsWith('.parquet')).map(([, bytes]) => bytes),
  )
  return made
}

export const target: Target = {
  what: 'the shard: footer, receipt, pages, hashes',
  maxBytes: 6_000,
  maxMiB: 256,
  dictionary: ['"rows":', '"documents":', '"rejects":[', '"dimensions":', 'null', '1e9', '[]', '{}'],
  async seeds() {
    return (await shards()).flatMap(shard => [
      Buffer.concat([Buffer.from([0]), shard]),
      Buffer.concat([Buffer.from([1]), shard]),
    ])
  },
  async check(input) {
    const isSigned = (input[0] ?? 0) % 2 === 1
    const bytes = isSigned ? resigned(input.subarray(1)) : input.subarray(1)
    const isOurs = (await shards()).some(shard => shard.equals(bytes))
    const store = memoryStore(new Map([[KEY, bytes]]))
    const checked = await refusing(['CORRUPT'], () => checkShard(store, KEY))
    if (!isSigned)
      must((checked !== undefined) === isOurs, () =>
        isOurs ? 'a good shard was refused' : 'a changed shard was taken',
      )
    const receipt = await refusing(['CORRUPT'], () => readReceipt(store, KEY))
    const ids = await refusing(['CORRUPT'], () => readIds(store, KEY))
    const batches = await refusing(['CORRUPT'], () => Array.fromAsync(readShard(store, KEY, { extra: true })))
    if (checked === undefined) return
    const { rows, documents, rejects, model } = checked.receipt
    must(
      receipt !== undefined && ids !== undefined && batches !== undefined,
      () => 'checked, but not to be read',
    )
    must(documents === rows + rejects.length, () => 'it does not balance')
    must(ids.length === rows, () => `${ids.length} ids of ${rows} rows`)
    const read = batches.flatMap(batch => batch.ids)
    must(JSON.stringify(read) === JSON.stringify(ids), () => 'ids differ')
    const floats = batches.reduce((sum, { vectors }) => sum + vectors.length, 0)
    must(
      floats === rows * model.dimensions,
      () => `${floats} floats in ${rows} vectors of ${model.dimensions}`,
    )
  },
}
