// `verify` against a program that changes, cuts, copies, swaps, adds and removes the objects of a
// finished run: it never says that all is well when an id, a vector, a value or a count is another
// than it was.

import { verify } from '@reembed/evaluate'
import { readPlan } from '@reembed/protocol'
import { contentOf, damaged, type MadeRun, makeRun, resignedAll } from '../run.ts'
import { memoryStore, must, refusing, type Target } from '../target.ts'

const REFUSED = ['CORRUPT', 'UNBALANCED', 'MODEL_MISMATCH', 'DUPLICATE_ID', 'RUN_NOT_FOUND']

interface Good extends MadeRun {
  readonly content: string
  readonly shown: string
}

let made: Promise<Good> | undefined
async function good(): Promise<Good> {
  made ??= (async () => {
    const run = await makeRun(Array.from({ length: 18 }, (_, i) => (i % 7 === 3 ? '' : `text ${i}`)))
    const store = memoryStore(run.objects)
    const plan = await readPlan(store, run.run)
    must(plan !== undefined, () => 'no plan')
    return { ...run, content: await contentOf(store, plan), shown: shownOf(await verify(store, run.run)) }
  })()
  return made
}

const shownOf = ({ baseRun: _, ...verified }: Awaited<ReturnType<typeof verify>>): string =>
  JSON.stringify(verified)

export const target: Target = {
  what: 'verify, against damage of all kinds to a whole run',
  maxBytes: 61,
  maxMiB: 256,
  seeds: () =>
    Array.from({ length: 110 }, (_, i) =>
      Buffer.from([0, i % 11, Math.floor(i / 11), i * 7, i * 31, i, i + 1]),
    ),
  async check(input) {
    const { run, objects, content, shown } = await good()
    // Hashes recomputed: the chain from version to manifest to shard still holds.
    const isSigned = (input[0] ?? 0) % 4 === 1
    const hurt = damaged(objects, input.subarray(1))
    const changed = isSigned ? resignedAll(hurt) : hurt
    const isChained = [...objects].every(([key, bytes]) =>
      /manifest\.json$|versions/.test(key) ? changed.get(key)?.equals(bytes) : true,
    )
    const isSame =
      [...objects].every(([key, bytes]) => changed.get(key)?.equals(bytes)) && changed.size === objects.size
    const store = memoryStore(changed)
    const verified = await refusing(REFUSED, () => verify(store, run))
    if (isSame) must(verified !== undefined, () => 'a good run was refused')
    if (verified === undefined) return
    if (isSigned && !isChained) return
    must(shownOf(verified) === shown, () => `verified, but ${shownOf(verified)} is not ${shown}`)
    const plan = await readPlan(store, run)
    must(plan !== undefined, () => 'no plan')
    must((await contentOf(store, plan)) === content, () => 'verified, but ids, vectors or values are others')
  },
}
