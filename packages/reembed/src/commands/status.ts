import { setTimeout as wait } from 'node:timers/promises'
import { findRun } from '@reembed/planner'
import { type QueueView, type RunStatus, readRunStatus } from '@reembed/producer'
import { openQueue } from '@reembed/queue'
import { EXIT, messageOf, ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { describeRunStatus } from '../describe-run.ts'
import { facts, note, print } from '../format.ts'
import { onInterrupt } from '../interrupt.ts'
import { openExistingOutput, requireRedis } from '../open-resources.ts'
import type { JsonFlag, OutputFlags, RedisFlags } from '../options.ts'

type Flags = OutputFlags & RedisFlags & JsonFlag & { readonly watch?: boolean }

const WATCH_MS = 2_000
/** A run leaves these states only by a decision of a person, or never. */
const FINAL = /^(held|published|replaced|superseded|cancelled|failed|deleted)$/

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
  if (!flags.watch) print(flags.json, shown, facts(describeRunStatus(shown, Date.now())))
  if (shown.state === 'failed') process.exitCode = EXIT.failure
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

/** Shows the run again whenever its description changes, until it is in a final state. */
async function watch(
  store: Store,
  queue: QueueView | string | undefined,
  run: string,
  flags: Flags,
): Promise<RunStatus> {
  const interrupt = onInterrupt()
  let shown = ''
  try {
    while (true) {
      const status = await readRunStatus(store, queue, run)
      const text = flags.json ? JSON.stringify(status) : facts(describeRunStatus(status, Date.now()))
      if (text !== shown) process.stdout.write(redrawn(text, shown, flags))
      shown = text
      if (FINAL.test(status.state)) return status
      await wait(WATCH_MS, undefined, { signal: interrupt.signal })
    }
  } catch (error) {
    throw interrupt.signal.aborted ? new ReembedError('INTERRUPTED', 'stopped watching the run') : error
  } finally {
    interrupt.stop()
  }
}

/** On a terminal the new text replaces the old one; elsewhere an empty line separates them. */
function redrawn(text: string, before: string, { json }: Flags): string {
  if (json || before === '') return `${text}\n`
  const live = process.stdout.isTTY && process.env.TERM !== 'dumb'
  return live ? `\x1b[${before.split('\n').length}A\x1b[0J${text}\n` : `\n${text}\n`
}
