// What a run costs at 10^5, 10^6 and 10^7 documents in a folder, and at 10^9 documents that are
// made as they are read: each phase in a process of its own.
//
//   node --conditions=@reembed/source bench/scale.ts 100000 1000000 10000000
//   node --conditions=@reembed/source bench/scale.ts synthetic=1000000000 [phases=finalize,verify]
//
// Documents are lines of about 60 bytes in 20 files, their vectors have 24 dimensions, and the
// server of ready bytes and the worker share the machine. The phases are checked by what comes of
// them: the number of shards, rows and jobs. Requests are those that the calls of the store would
// send to S3; those of the worker are not counted. 'resume' is a sweep when every tenth shard is
// missing. 'verify' of the synthetic run is one part of 64.

import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ask, start } from './child.ts'
import type { Phase, Question, Spent } from './scale/phase.ts'

const DIMENSIONS = 24
const FILES = 20
const MIB = 2 ** 20
const REAL: readonly Phase[] = ['plan', 'run', 'resume', 'finalize', 'ids', 'verify', 'status', 'gc']
const SYNTHETIC: readonly Phase[] = ['plan', 'resume', 'finalize', 'ids', 'verify', 'status', 'gc']

const args = process.argv.slice(2)
const sizes = args.filter(arg => /^\d+$/.test(arg)).map(Number)
const only = args.find(arg => arg.startsWith('phases='))?.slice('phases='.length)
const synthetic = Number(args.find(arg => arg.startsWith('synthetic='))?.slice('synthetic='.length) ?? 0)

async function writeCorpus(folder: string, documents: number): Promise<void> {
  await mkdir(folder)
  for (let file = 0; file < FILES; file += 1) {
    const out = createWriteStream(join(folder, `part-${String(file).padStart(2, '0')}.jsonl`))
    const end = Math.floor(((file + 1) * documents) / FILES)
    for (let from = Math.floor((file * documents) / FILES); from < end; from += 1_000) {
      const lines = Array.from({ length: Math.min(1_000, end - from) }, (_, i) => lineOf(from + i))
      if (!out.write(lines.join(''))) await once(out, 'drain')
    }
    out.end()
    await once(out, 'close')
  }
}

const lineOf = (i: number): string =>
  `${JSON.stringify({ id: `d${i}`, text: `document ${i} is about topic ${i % 977}` })}\n`

async function bytesBelow(folder: string): Promise<number> {
  let bytes = 0
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size
  return bytes
}

async function measure(question: Question): Promise<Spent> {
  const child = start('scale/phase.ts')
  const spent = await ask<Spent>(child, question)
  await once(child, 'exit')
  const { list, head, get, put, copy, delete: deleted } = spent.requests
  const all = list + head + get + put + copy + deleted
  const requests = question.phase === 'run' ? '-' : all.toLocaleString('en-US')
  const own = spent.seconds - spent.madeSeconds
  console.log(
    `| ${[
      question.documents.toLocaleString('en-US'),
      question.phase,
      own.toFixed(1),
      (spent.cpuSeconds - spent.madeSeconds).toFixed(1),
      requests,
      spent.peakMiB,
      spent.temporaryMiB,
      spent.outcome,
    ].join(' | ')} |`,
  )
  return spent
}

console.log('| documents | phase | s | CPU s | requests | peak memory, MiB | temporary disk, MiB | outcome |')
console.log('|---|---|---|---|---|---|---|---|')
for (const documents of sizes) {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-scale-'))
  const server = start('carry/server.ts', String(DIMENSIONS))
  try {
    const [{ url }] = await once(server, 'message')
    const folders = { source: join(folder, 'corpus'), output: join(folder, 'vectors'), endpoint: url }
    await writeCorpus(folders.source, documents)
    let run: string | undefined
    for (const phase of REAL) {
      if (phase === 'gc')
        console.log(`| | disk of the output | ${Math.round((await bytesBelow(folders.output)) / MIB)} MiB |`)
      run = (await measure({ phase, documents, dimensions: DIMENSIONS, folders, run })).run
    }
  } finally {
    server.disconnect()
    await rm(folder, { recursive: true, force: true })
  }
}
for (const phase of synthetic > 0 ? SYNTHETIC.filter(phase => only?.includes(phase) ?? true) : [])
  await measure({ phase, documents: synthetic, dimensions: DIMENSIONS, folders: undefined, run: undefined })
