import { findGarbage, removeRuns, spareRun } from '@reembed/producer'
import { isRunId, ReembedError } from '@reembed/shared'
import { openEraser } from '@reembed/store'
import { findRun } from '../find-run.ts'
import { bytes, count, counted, note, print } from '../format.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'
import { absolute, openFinished, s3OptionsOf } from '../parts.ts'

type Flags = OutputFlags &
  JsonFlag & { readonly keep: number; readonly olderThan: number; readonly delete?: boolean }

const DAY_MS = 86_400_000

/** `reembed gc`: says which runs nobody needs any more; with --delete removes them. A run that is named may be young. */
export async function gc(name: string | undefined, flags: Flags): Promise<void> {
  await using store = await openFinished(flags)
  const run = name === undefined || isRunId(name) ? name : await findRun(store, name, 'newest')
  const beforeMs = flags.olderThan === 0 ? Number.POSITIVE_INFINITY : Date.now() - flags.olderThan * DAY_MS
  const rules = { keep: flags.keep, beforeMs, run }
  const { kept, removable } = await findGarbage(store, rules)
  if (run !== undefined && removable.length === 0) {
    const why = kept[0]?.why
    throw why === undefined
      ? new ReembedError('RUN_UNKNOWN', `there is nothing of a run ${run} in ${store.url}`)
      : new ReembedError('USAGE', `run ${run} in ${store.url} stays: ${why}`)
  }
  const removed: string[] = []
  if (flags.delete) {
    for (const { run } of kept) await spareRun(store, run)
    await using eraser = await openEraser(absolute(flags.output), { s3: s3OptionsOf(flags) })
    const sizes = new Map(removable.map(({ run, objects }) => [run, objects]))
    for await (const { run, removed: isGone } of removeRuns(store, eraser, sizes.keys(), rules)) {
      if (isGone) removed.push(run)
      else note(`run ${run} is needed after all, and stays`)
      note(
        `${removed.length} of ${removable.length} runs removed, ${counted(sizes.get(run) ?? 0, 'object')} of the last`,
      )
    }
  }
  const total = removable.reduce((sum, one) => sum + one.bytes, 0)
  const did = (run: string): string =>
    removed.includes(run) ? 'removed' : flags.delete ? 'spared ' : 'would go'
  print(
    flags.json,
    { deleted: flags.delete === true, kept, removable, removed, bytes: total },
    [
      ...kept.map(({ run, why }) => `stays     ${run}  ${why}`),
      ...removable.map(
        ({ run, why, objects, bytes: size }) =>
          `${did(run).padEnd(8)}  ${run}  ${why}; ${counted(objects, 'object')}, ${bytes(size)}`,
      ),
      removable.length === 0
        ? 'nothing to remove'
        : `${count(removable.length)} of ${counted(kept.length + removable.length, 'run')}, ${bytes(total)}${flags.delete ? '' : ': --delete removes them'}`,
    ].join('\n'),
  )
}
