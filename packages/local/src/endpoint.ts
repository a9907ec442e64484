// A TEI-compatible endpoint in a separate process, so that inference does not block the caller's
// event loop. It ends with its parent, even if the parent is killed: the kernel closes the IPC
// channel.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ReembedError } from '@reembed/shared'
import { letGo } from './child.ts'
import type { StartEndpointOptions, StartResult } from './tei/protocol.ts'

export interface LocalEndpoint extends AsyncDisposable {
  /** For example `http://127.0.0.1:40123`. */
  readonly url: string
  readonly pid: number
  /** The tokenizer.json of its model; undefined for an engine without one. */
  readonly tokenizer?: string | undefined
}

const STOP_MS = 10_000

/**
 * Starts an endpoint; resolves when the model is loaded and the port answers. The first start with
 * a model of the Hugging Face Hub downloads the model.
 *
 * @throws ReembedError USAGE for invalid options, ENDPOINT_UNSUPPORTED for a model that it cannot
 *   run, ENDPOINT_UNREACHABLE if the process or the download fails
 * @throws the signal's reason
 * @example
 * ```ts
 * import { startEndpoint } from '@reembed/local'
 *
 * await using endpoint = await startEndpoint() // all-MiniLM-L6-v2 on the CPU
 * const reply = await fetch(`${endpoint.url}/info`)
 * console.log(await reply.json())
 * ```
 */
export async function startEndpoint({ signal, ...start }: StartEndpointOptions = {}): Promise<LocalEndpoint> {
  signal?.throwIfAborted()
  // The same file runs from source and from dist.
  const extension = extname(import.meta.filename)
  const child = fork(fileURLToPath(import.meta.resolve(`./tei/main${extension}`)), {
    execArgv: extension === '.ts' ? ['--conditions=@reembed/source'] : [],
    // A separate session: Ctrl-C in the terminal must reach only the command, which needs the model
    // to drain.
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  })
  const exited = once(child, 'exit')
  exited.catch(() => {})
  let log = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-2_000)
  })

  async function stop(): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return
    child.ref()
    child.kill('SIGTERM')
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
    await exited
    clearTimeout(timer)
  }

  try {
    child.send(start)
    const [message] = (await Promise.race([
      once(child, 'message', { signal }),
      exited.then(([code, killedBy]) => {
        const detail = log.trim().split('\n').at(-1) ?? ''
        throw new ReembedError(
          'ENDPOINT_UNREACHABLE',
          `the local endpoint exited during its start (${killedBy ?? `exit code ${code}`}): ${detail}`,
        )
      }),
    ])) as [StartResult]
    if ('failure' in message) throw new ReembedError(message.failure.code, message.failure.message)
    letGo(child)
    return { ...message, pid: child.pid ?? 0, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    signal?.throwIfAborted()
    throw error
  }
}
