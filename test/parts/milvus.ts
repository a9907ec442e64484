// Milvus Lite as a server for tests: the program `milvus-lite` of the Python packages `milvus-lite`
// and `pymilvus`, from REEMBED_TEST_MILVUS (a folder with programs) or from PATH.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '@reembed/local'

const BIN = process.env.REEMBED_TEST_MILVUS
const program = BIN ? join(BIN, 'milvus-lite') : 'milvus-lite'

/** What this machine lacks for a server of Milvus Lite; undefined if nothing. */
export const lackOfMilvus: string | undefined = lack()

function lack(): string | undefined {
  try {
    execFileSync(program, ['server', '--help'], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'no milvus-lite; pip install milvus-lite pymilvus, and set REEMBED_TEST_MILVUS to the folder of its programs'
  }
}

/**
 * For clients of tests: Milvus Lite closes the connection of one that pings each 10 s, and takes
 * longer than the 15 s of the default to read 100,000 rows.
 */
export const PATIENT: object = {
  channelOptions: { 'grpc.keepalive_time_ms': 330_000 },
  timeout: 120_000,
}

export interface MilvusServer extends AsyncDisposable {
  /** Host and port. */
  readonly host: string
}

export async function startMilvus(): Promise<MilvusServer> {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-milvus-'))
  const port = await freePort()
  const args = ['server', '--data-dir', folder, '--host', '127.0.0.1', '--port', String(port)]
  const server = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, PYTHONUNBUFFERED: '1' },
  })
  const ended = once(server, 'exit')
  // The stream stays open: a server whose output is closed ends at its next line.
  const listening = new Promise<void>(resolve => {
    server.stdout.on('data', chunk => String(chunk).includes('listening') && resolve())
  })
  await Promise.race([
    listening,
    ended.then(() => {
      throw new Error('milvus-lite ended before it listened')
    }),
  ])
  return {
    host: `127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.kill('SIGKILL')
      await ended
      await rm(folder, { recursive: true, force: true })
    },
  }
}
