// Traces of this process where OTEL_* variables request them. These variables are often set for a
// whole cluster, so an unsupported value is reported and does not stop the command.

import { messageOf } from '@reembed/shared'
import { openTracing } from '@reembed/telemetry'
import { VERSION } from './version.ts'

/** Disposal sends the last spans. */
export async function openTraces(env: NodeJS.ProcessEnv): Promise<AsyncDisposable | undefined> {
  try {
    return await openTracing(env, { version: VERSION, onError: say })
  } catch (error) {
    say(`off: ${messageOf(error)}`)
    return undefined
  }
}

const say = (message: string): void => void process.stderr.write(`reembed: traces: ${message}\n`)
