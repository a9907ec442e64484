// The process that startEndpoint starts. It receives one message with the options and sends one
// message with the URL or the failure.

import { messageOf, ReembedError } from '@reembed/shared'
import type { Engine } from './engine.ts'
import { createHashEngine } from './hash-engine.ts'
import type { Start, StartResult } from './protocol.ts'
import { serveTei } from './server.ts'

// The parent process has ended, so no client waits for the requests in flight.
process.on('disconnect', () => process.exit())

process.once('message', async (start: Start) => {
  try {
    const { engine: kind, model, hash, ...flags } = start
    const { engine, tokenizer } = await openEngine(start)
    const server = await serveTei({ engine, textTokens: true, ...flags })
    process.once('SIGTERM', async () => {
      await server[Symbol.asyncDispose]()
      await engine[Symbol.asyncDispose]()
      process.exit()
    })
    send({ url: server.url, tokenizer })
  } catch (error) {
    const code = error instanceof ReembedError ? error.code : 'ENDPOINT_UNREACHABLE'
    send({ failure: { code, message: messageOf(error) } })
  }
})

async function openEngine({
  engine = 'onnx',
  model,
  hash,
}: Start): Promise<{ engine: Engine; tokenizer?: string }> {
  if (engine === 'hash') return { engine: createHashEngine({ model, ...hash }) }
  const { openOnnxEngine } = await import('./onnx-engine.ts')
  const opened = await openOnnxEngine({ model })
  return { engine: opened, tokenizer: opened.tokenizerFile }
}

const send = (message: StartResult): void => void process.send?.(message)
