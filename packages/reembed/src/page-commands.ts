// Serves the pages of the console, with the commands that they offer to copy.

import type { ConsoleOptions, Step } from '@reembed/console'
import { openQueue, openQueueReader, type RedisTarget } from '@reembed/queue'
import { shellWord } from '@reembed/shared'
import { outputOf } from './config/apply.ts'
import { configFileOf, schedulesOf } from './config/schedules.ts'
import { shortId } from './output.ts'

const WORDS: Readonly<Record<Step, (run: string) => string>> = {
  list_rejects: run => `rejects ${run}`,
  publish_anyway: run => `publish ${run} --force --reason "…"`,
  cancel: run => `cancel ${run} --reason "…"`,
  enqueue: () => 'enqueue --source … --endpoint … --redis …',
  resume: run => `resume ${run}`,
  start_worker: () => 'worker --endpoint … --redis …',
  pause: run => `pause ${run}`,
  search: run => `search "some words" --run ${run}`,
  roll_back: run => `rollback ${run}`,
}

/** The command for a step about a run; '…' is what only the reader knows. */
const pageCommand = (
  step: Step,
  { output, run }: { readonly output: string; readonly run: string },
): string => `reembed ${WORDS[step](shortId(run))} --output ${shellWord(output)}`

/**
 * Serves the pages until the stack is disposed, and returns their URL. The file of `self` has the
 * schedules that cards state.
 * @throws ReembedError USAGE for a busy port
 */
export async function servePages(
  listen: string,
  of: Pick<ConsoleOptions, 'stores' | 'endpoints' | 's3'> & {
    readonly redis: RedisTarget | undefined
  },
  stack: AsyncDisposableStack,
  self?: Parameters<typeof configFileOf>[0],
): Promise<string> {
  const file = self && (await configFileOf(self))
  // The file describes one output; it may leave out its address.
  const output = file && outputOf(file, process.env)
  const bare = (url: string): string => url.replace(/\/+$/, '')
  const described =
    output === undefined ? of.stores[0] : of.stores.find(({ url }) => bare(url) === bare(output))
  const schedules = file && described && { output: described.url, schedules: schedulesOf(file) }
  const { serveConsole } = await import('@reembed/console')
  const { redis, ...shown } = of
  const { REEMBED_CONSOLE_TOKEN: token, REEMBED_CONSOLE_ACTIONS_TOKEN: acting } = process.env
  const queue = redis ? stack.use(openQueueReader(redis)) : undefined
  const actions = acting
    ? { token: acting, openQueue: redis ? () => openQueue(redis) : undefined }
    : undefined
  const options = {
    ...shown,
    listen,
    queue,
    token: token || undefined,
    actions,
    schedules,
    commandOf: pageCommand,
  }
  return stack.use(await serveConsole(options)).url
}
