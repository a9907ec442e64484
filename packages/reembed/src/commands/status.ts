import { type OutputStatus, type QueueView, readOutputStatus, watchOutput } from '@reembed/producer'
import { openQueue } from '@reembed/queue'
import { describeOutputStatus } from '@reembed/render'
import { EXIT, messageOf, ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { onInterrupt } from '../interrupt.ts'
import { openExistingOutput, requireRedis } from '../open-resources.ts'
import type { JsonFlag, OutputFlags, RedisFlags } from '../options.ts'
import { facts, note, print, rewrite } from '../output.ts'
import { steps } from '../step-line.ts'

type Flags = OutputFlags & RedisFlags & JsonFlag & { readonly watch?: boolean }

/**
 * `reembed status`: shows the state of a run by the store, and with --redis the queue, the workers
 * and the runs that are being planned.
 */
export async function status(name: string | undefined, flags: Flags): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const store = stack.use(await openExistingOutput(flags))
  const queue = await openView(flags, stack)
  const shown = flags.watch
    ? await watch(store, queue, name, flags)
    : await readOutputStatus(store, queue, name)
  if (!flags.watch && shown) print(flags.json, dataOf(shown), facts(describeOutputStatus(shown, Date.now())))
  if (shown?.run?.state === 'failed') process.exitCode = EXIT.failure
  if (typeof queue === 'string') process.exitCode = EXIT.unreachable
}

/** The run, or the first planning of an output without a run; in `planning` all of them. */
const dataOf = ({ run, planning }: OutputStatus): object => ({ ...(run ?? planning[0]), planning })

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
  name: string | undefined,
  flags: Flags,
): Promise<OutputStatus | undefined> {
  const interrupt = onInterrupt()
  steps.end()
  let [shown, last]: [string, OutputStatus | undefined] = ['', undefined]
  try {
    for await (const status of watchOutput(store, queue, name, interrupt.signal)) {
      const text = flags.json
        ? JSON.stringify(dataOf(status))
        : facts(describeOutputStatus(status, Date.now()))
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
