// Exports of a damaged run: each layout is written whole or the run is refused, and what is there
// is not touched.

import { EXPORT_LAYOUT_NAMES, exportRun } from '@reembed/export'
import { readManifest } from '@reembed/protocol'
import { damaged, makeRun, resignedAll } from '../run.ts'
import { choicesOf, memoryStore, must, refusing, type Target } from '../target.ts'

const REFUSED = ['CORRUPT', 'USAGE', 'UNBALANCED', 'RUN_NOT_FOUND']

let made: ReturnType<typeof makeRun> | undefined
const good = (): ReturnType<typeof makeRun> => {
  made ??= makeRun(['one', 'two', 'three', 'four', 'five', 'größe'])
  return made
}

export const target: Target = {
  what: 'exports of a damaged run, in every layout',
  maxBytes: 50,
  maxMiB: 256,
  seeds: () =>
    Array.from({ length: 66 }, (_, i) =>
      Buffer.from([i, i % 2, i, Math.floor(i / 10), i * 7, i * 31, i, i + 1]),
    ),
  async check(input) {
    const { run, objects } = await good()
    const choices = choicesOf(input, 2)
    const layout = EXPORT_LAYOUT_NAMES[choices.number(EXPORT_LAYOUT_NAMES.length)] ?? 'hf'
    const isSigned = choices.number(2) === 1
    const changed = damaged(objects, choices.rest)
    const source = memoryStore(isSigned ? resignedAll(changed) : changed)
    const target = memoryStore(new Map())
    await refusing(REFUSED, async () => {
      const manifest = await readManifest(source, run)
      if (manifest === undefined) return
      const done = await exportRun(source, manifest, target, { layout })
      must(done.shards === manifest.shards, () => `${done.shards} of ${manifest.shards} shards`)
      must((await target.head('LOAD.md')) !== undefined, () => 'it says nothing of loading')
    })
  },
}
