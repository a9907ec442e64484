// The peak memory of a worker process on a JSONL file much larger than it, against a fast endpoint.
//
//   node --conditions=@reembed/source bench/worker-memory.ts [GB = 2]
//
// Checks: the run verifies, every document is a row. Not measured: S3 (the output is a folder),
// TLS.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startEndpoint, startRedis } from '@reembed/local'

const DIMENSIONS = 768
const bytesWanted = Number(process.argv[2] ?? 2) * 1e9
const main = fileURLToPath(new URL('../packages/reembed/src/main.ts', import.meta.url))
const folder = await mkdtemp(join(tmpdir(), 'reembed-memory-'))

await using endpoint = await startEndpoint({ engine: 'hash', hash: { dimensions: DIMENSIONS } })
await using redis = await startRedis()
try {
  const documents = await writeCorpus(join(folder, 'corpus.jsonl'))
  const common = ['--output', join(folder, 'vectors'), '--endpoint', endpoint.url, '--redis', redis.url]
  const planned = reembed(['enqueue', '--source', join(folder, 'corpus.jsonl'), ...common])
  await once(planned, 'close')

  const started = performance.now()
  const worker = reembed(['worker', ...common])
  let log = ''
  worker.stderr?.on('data', data => {
    log += data
  })
  let peakKiB = 0
  while (!log.includes('"state":"published"')) {
    if (worker.exitCode !== null) throw new Error(`the worker ended: ${log.slice(-2_000)}`)
    peakKiB = await peakOf(worker.pid ?? 0)
    await wait(200)
  }
  const seconds = (performance.now() - started) / 1000
  worker.kill('SIGTERM')
  await once(worker, 'close')

  const verified = reembed(['verify', '--output', join(folder, 'vectors'), '--json'])
  let receipt = ''
  verified.stdout?.on('data', data => {
    receipt += data
  })
  await once(verified, 'close')
  if (JSON.parse(receipt).totals.rows !== documents) throw new Error('rows and documents differ')
  console.log(`documents        ${documents.toLocaleString('en-US')} of 2 KB, ${DIMENSIONS} dimensions`)
  console.log(`worker peak RSS  ${Math.round(peakKiB / 1024)} MiB`)
  console.log(
    `throughput       ${Math.round(documents / seconds).toLocaleString('en-US')} documents/s (endpoint, Redis and worker on this machine)`,
  )
} finally {
  await rm(folder, { recursive: true, force: true })
}

function reembed(args: string[]) {
  return spawn(process.execPath, ['--conditions=@reembed/source', main, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/** The kernel's high-water mark of a process, in KiB. */
async function peakOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0)
}

async function writeCorpus(path: string): Promise<number> {
  const words = 'the quick brown fox jumps over a lazy dog while vectors are made of every line of text '
    .repeat(24)
    .slice(0, 1_970)
  const out = createWriteStream(path)
  let bytes = 0
  let documents = 0
  while (bytes < bytesWanted) {
    const lines = Array.from(
      { length: 1_000 },
      () => `${JSON.stringify({ id: `d${documents++}`, text: `${documents} ${words}` })}\n`,
    ).join('')
    bytes += lines.length
    if (!out.write(lines)) await once(out, 'drain')
  }
  out.end()
  await once(out, 'close')
  return documents
}
