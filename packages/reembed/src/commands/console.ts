import { once } from 'node:events'
import { onInterrupt } from '../interrupt.ts'
import { openOutputs, requireEndpoint, requireRedis, s3OptionsOf } from '../open-resources.ts'
import type { RedisFlags, S3Flags } from '../options.ts'
import { note } from '../output.ts'
import { servePages } from '../page-commands.ts'
import { steps } from '../step-line.ts'

interface Flags extends RedisFlags, S3Flags {
  readonly output: readonly string[]
  readonly listen: string
  readonly endpoint?: readonly string[]
}

/** `reembed console`: serves the pages of the outputs until it is interrupted. */
export async function consoleCommand(flags: Flags, self: Parameters<typeof servePages>[3]): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const { signal } = stack.adopt(onInterrupt(), ({ stop }) => stop())
  const redis = flags.redis ? requireRedis(flags) : undefined
  const stores = await openOutputs(flags, stack)
  const endpoints = flags.endpoint?.map(endpoint => () => requireEndpoint({ endpoint }))
  const shown = { stores, redis, endpoints, s3: s3OptionsOf(flags) }
  const url = await servePages(flags.listen, shown, stack, self)
  note(`console   ${url}${redis ? '' : '  (without --redis: no workers, no jobs in progress)'}`)
  steps.end()
  if (!signal.aborted) await once(signal, 'abort')
}
