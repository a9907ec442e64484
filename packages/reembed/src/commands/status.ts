import { findRun } from '@reembed/planner'
import { type QueueView, type RunStatus, readRunStatus, watchRun } from '@reembed/producer'
import { openQueue } from '@reembed/queue'
import { describeRunStatus } from '@reembed/render'
import { EXIT, messageOf, ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { onInterrupt } from '../interrupt.ts'
import { openExistingOutput, requireRedis } from '../open-resources.ts'
import type { JsonFlag, OutputFlags, RedisFlags } from '../options.ts'
import { facts, note, print, rewrite } from '../output.ts'
import { steps } from '../step-line.ts'

type Flags = OutputFlags & RedisFlags & JsonFlag & { readonly watch?: boolean }

/**
 * `reembed status`: shows the state of a run by the store, and with --redis the queue and the
 * workers.
 */
export async function status(name: string | undefined, flags: Flags): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const store = stack.use(await openExistingOutput(flags))
  const run = await findRun(store, name, 'newest')
  const queue = await openView(flags, stack)
  const shown = flags.watch ? await watch(store, queue, run, flags) : await readRunStatus(store, queue, run)
  if (!flags.watch && shown) print(flags.json, shown, facts(describeRunStatus(shown, Date.now())))
  if (shown?.state === 'failed') process.exitCode = EXIT.failure
  if (typeof queue === 'string') process.exitCode = EXIT.unreachable
}

/** A text where Redis does not answer: the store's facts are shown nevertheless. */
async function openView(flags: Flags, stack: AsyncDisposableStack): Promise<QueueView | string | undefined> {
  if (!flags.redis) return undefined
  try {
    return stack.use(await openQueue(requireRedis(flags)))
  } catch (error) {
    if (!(error instanceof ReembedError) || error.code !== 'REDIS_UNREACHABLE') throw error
    note(`reembed: ${messageOf(error)}`)
    return messageOf(error)
  }
}

/** Shows the run again whenever its description changes; on a terminal in the same place. */
async function watch(
  store: Store,
  queue: QueueView | string | undefined,
  run: string,
  flags: Flags,
): Promise<RunStatus | undefined> {
  const interrupt = onInterrupt()
  steps.end()
  let [shown, last]: [string, RunStatus | undefined] = ['', undefined]
  try {
    for await (const status of watchRun(store, queue, run, interrupt.signal)) {
      const text = flags.json ? JSON.stringify(status) : facts(describeRunStatus(status, Date.now()))
      const before = shown && !flags.json && process.stdout.isTTY ? shown.split('\n').length : 0
      if (text !== shown) rewrite(before, `${text}\n`)
      ;[shown, last] = [text, status]
    }
    return last
  } catch (error) {
    throw interrupt.signal.aborted ? new ReembedError('INTERRUPTED', 'stopped watching the run') : error
  } finally {
    interrupt.stop()
  }
}
