// Traces of this process, if the OTEL_* variables ask for them. Variables are often set for a whole
// cluster: what we can't obey is said, and no reason to refuse the work.

import { messageOf } from '@reembed/shared'
import { openTracing } from '@reembed/telemetry'
import { VERSION } from './version.ts'

/**
 * What a collector that never answers may take of the end of a command, beside the time to send.
 */
const LINGER_MS = 500

/** Disposal sends the last spans. */
export async function openTraces(env: NodeJS.ProcessEnv): Promise<AsyncDisposable | undefined> {
  try {
    const traces = await openTracing(env, { version: VERSION, onError: say })
    return (
      traces && {
        async [Symbol.asyncDispose]() {
          await traces[Symbol.asyncDispose]()
          setTimeout(() => process.exit(), LINGER_MS).unref()
        },
      }
    )
  } catch (error) {
    say(`off: ${messageOf(error)}`)
    return undefined
  }
}

const say = (message: string): void => void process.stderr.write(`reembed: traces: ${message}\n`)
