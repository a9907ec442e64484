import { findRun } from '@reembed/planner'
import { cancelRunDeletion, collectBlocks, deleteRuns, findGarbage } from '@reembed/producer'
import { bytes, count, counted, garbageLines, unusedRows } from '@reembed/render'
import { absoluteUrl, isRunId, ReembedError } from '@reembed/shared'
import { openDeleter } from '@reembed/store'
import { openExistingOutput, s3OptionsOf } from '../open-resources.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'
import { note, print } from '../output.ts'
import { steps } from '../step-line.ts'

type Flags = OutputFlags &
  JsonFlag & { readonly keep: number; readonly olderThan: number; readonly delete?: boolean }

const DAY_MS = 86_400_000

/**
 * `reembed gc`: lists the runs that can be deleted; with --delete deletes them. If a run is given,
 * its age does not matter.
 */
export async function gc(name: string | undefined, flags: Flags): Promise<void> {
  await using store = await openExistingOutput(flags)
  const run = name === undefined || isRunId(name) ? name : await findRun(store, name, 'newest')
  const beforeMs = flags.olderThan === 0 ? Number.POSITIVE_INFINITY : Date.now() - flags.olderThan * DAY_MS
  const rules = { keep: flags.keep, beforeMs, run }
  steps.show('reading the runs of the output')
  const { kept, deletable } = await findGarbage(store, rules)
  if (run !== undefined && deletable.length === 0) {
    const why = kept[0]?.reason
    throw why === undefined
      ? new ReembedError(
          'RUN_NOT_FOUND',
          `no objects of run ${run} in ${store.url}: list its runs with \`reembed ls\``,
        )
      : new ReembedError('USAGE', `run ${run} in ${store.url} cannot be deleted: ${why}`)
  }
  const deletedRuns: string[] = []
  let unused = await collectBlocks(store, rules, { deletable: deletable.map(({ run }) => run) })
  if (flags.delete) {
    for (const { run } of kept) await cancelRunDeletion(store, run)
    await using eraser = await openDeleter(absoluteUrl(flags.output), { s3: s3OptionsOf(flags) })
    const sizes = new Map(deletable.map(({ run, objects }) => [run, objects]))
    for await (const { run, deleted } of deleteRuns(store, eraser, sizes.keys(), rules)) {
      if (deleted) deletedRuns.push(run)
      else note(`run ${run} is needed again and is kept`)
      note(
        `${deletedRuns.length} of ${deletable.length} runs deleted; the last one had ${counted(sizes.get(run) ?? 0, 'object')}`,
      )
    }
    unused = await collectBlocks(store, rules, { deleter: eraser })
  }
  const total = deletable.reduce((sum, one) => sum + one.bytes, 0)
  const resultOf = (run: string): string =>
    deletedRuns.includes(run) ? 'deleted' : flags.delete ? 'kept' : 'deletable'
  print(
    flags.json,
    { delete: flags.delete === true, kept, deletable, deletedRuns, bytes: total, tables: unused },
    [
      ...garbageLines({ kept, deletable }, resultOf),
      ...unusedRows(unused, flags.delete === true),
      deletable.length === 0
        ? 'no runs to delete'
        : `${count(deletable.length)} of ${counted(kept.length + deletable.length, 'run')}, ${bytes(total)}${flags.delete ? '' : ': --delete deletes them'}`,
    ].join('\n'),
  )
}
