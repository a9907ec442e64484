import { once } from 'node:events'
import { serveConsole } from '@reembed/console'
import { openQueueReader } from '@reembed/queue'
import { openStore } from '@reembed/store'
import { onInterrupt } from '../interrupt.ts'
import { absoluteUrl, requireRedis, s3OptionsOf } from '../open-resources.ts'
import type { RedisFlags, S3Flags } from '../options.ts'
import { note } from '../output.ts'
import { pageCommand } from '../page-commands.ts'

interface Flags extends RedisFlags, S3Flags {
  readonly output: readonly string[]
  readonly listen: string
}

/** `reembed console`: serves the pages of the outputs until it is interrupted. */
export async function consoleCommand(flags: Flags): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const { signal } = stack.adopt(onInterrupt(), ({ stop }) => stop())
  const queue = flags.redis ? stack.use(openQueueReader(requireRedis(flags))) : undefined
  const stores = await Promise.all(
    flags.output.map(url => openStore(absoluteUrl(url), { s3: s3OptionsOf(flags) })),
  )
  for (const store of stores) stack.use(store)
  const token = process.env.REEMBED_CONSOLE_TOKEN || undefined
  const { url } = stack.use(
    await serveConsole({ stores, queue, listen: flags.listen, token, commandOf: pageCommand }),
  )
  note(`console   ${url}${queue ? '' : '  (without --redis: no workers, no jobs in progress)'}`)
  if (!signal.aborted) await once(signal, 'abort')
}
