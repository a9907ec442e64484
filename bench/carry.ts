// Measures the next version of a corpus of twenty files, when some documents of some of the files
// were edited: the seconds and the CPU seconds of the whole command, and what it writes. The server
// sends ready bytes (carry/server.ts).
//
//   node --conditions=@reembed/source bench/carry.ts [documents = 1000000] [dimensions = 384] [folder | s3]
//
// Checks that every vector of an unedited document is bit-identical, and the number of reused rows.
// 's3' is a server in the memory of this process: its requests count, its seconds do not. Not
// measured: a network, a real model.

import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type S3Request, startS3Server } from '@reembed/testing'
import { start } from './child.ts'
import { expectSame, MAIN, type Outcome } from './next-version.ts'

const documents = Number(process.argv[2] ?? 1_000_000)
const dimensions = Number(process.argv[3] ?? 384)
const isS3 = process.argv[4] === 's3'
const FILES = 20
const perFile = Math.floor(documents / FILES)
const MIB = 2 ** 20

interface Edit {
  readonly name: string
  /** The number of files, and one document of how many in each of them. */
  readonly files: number
  readonly every: number
}
/** The edition of a document, 0 for the first. */
type Edition = (i: number) => number

const EDITS: readonly Edit[] = [
  { name: 'one line in 120 of one file', files: 1, every: 120 },
  { name: '1 %: one line in 5 of one file', files: 1, every: 5 },
  { name: '10 %: two files', files: 2, every: 1 },
  { name: '50 %: ten files', files: 10, every: 1 },
]

const folder = await mkdtemp(join(tmpdir(), 'reembed-carry-'))
const s3 = isS3 ? await startS3Server({ buckets: ['vectors'] }) : undefined
Object.assign(process.env, s3?.env)
const [source, output] = [join(folder, 'corpus'), isS3 ? 's3://vectors/carry' : join(folder, 'vectors')]
const server = start('carry/server.ts', String(dimensions))
const [{ url }] = await once(server, 'message')
const given = ['--source', source, '--output', output, '--endpoint', url]
try {
  await mkdir(source)
  let edition: Edition = () => 0
  await write(edition, undefined)
  let before = await version('first version')
  for (const [number, { name, files, every }] of EDITS.entries()) {
    const previous = edition
    const isEdited = (i: number): boolean => i < files * perFile && i % every === 0
    edition = i => (isEdited(i) ? number + 1 : previous(i))
    await write(edition, previous)
    const after = await version(name)
    await expectSame(output, [before, after], isEdited)
    before = after
  }
} finally {
  server.disconnect()
  await s3?.[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Writes the files of which a document changed: another file keeps its etag. */
async function write(edition: Edition, previous: Edition | undefined): Promise<void> {
  for (let file = 0; file < FILES; file += 1) {
    const numbers = Array.from({ length: perFile }, (_, at) => file * perFile + at)
    if (previous && numbers.every(i => edition(i) === previous(i))) continue
    const lines = numbers.map(i => {
      const edited = edition(i) > 0 ? `, edition ${edition(i)}` : ''
      return `${JSON.stringify({ id: `d${i}`, text: `document ${i} is about topic ${i % 977}${edited}` })}\n`
    })
    await writeFile(join(source, `part-${String(file).padStart(2, '0')}.jsonl`), lines.join(''))
  }
}

/** Runs the command; returns the id of the run. */
async function version(name: string): Promise<string> {
  const known = await inodes()
  const seen = s3?.requests.length ?? 0
  const { run, totals, seconds, cpuSeconds } = await timedRun()
  if (totals.rows !== perFile * FILES) throw new Error(`${name}: ${totals.rows} rows`)
  const embedded = totals.rows - (totals.reused ?? 0)
  const fresh = [...(await inodes())].filter(([inode]) => !known.has(inode))
  const figures = s3
    ? requestsOf(s3.requests.slice(seen))
    : [`${mib(fresh.reduce((sum, [, size]) => sum + size, 0))} MiB written`]
  print(
    [
      name,
      `${embedded.toLocaleString('en-US')} embedded`,
      `${seconds.toFixed(1)} s`,
      `${cpuSeconds.toFixed(1)} CPU s`,
      ...figures,
    ].join(' | '),
  )
  return run
}

function mib(bytes: number): string {
  return (bytes / MIB).toFixed(1)
}

/** The command in a shell that reports the CPU seconds of its children. */
async function timedRun(): Promise<Outcome & { seconds: number; cpuSeconds: number }> {
  const command = [process.execPath, '--conditions=@reembed/source', MAIN, 'run', '--json', ...given]
  const startedMs = performance.now()
  const { promise, resolve, reject } = Promise.withResolvers<[string, string]>()
  execFile(
    'bash',
    ['-c', '"$@" || exit; times >&2', 'bash', ...command],
    { maxBuffer: MIB },
    (error, stdout, stderr) => {
      if (error) reject(new Error(stderr))
      else resolve([stdout, stderr])
    },
  )
  const [stdout, stderr] = await promise
  const [user = 0, system = 0] = (stderr.trim().split('\n').at(-1) ?? '').split(' ').map(secondsOf)
  return { ...JSON.parse(stdout), seconds: (performance.now() - startedMs) / 1000, cpuSeconds: user + system }
}

/** Of bash's '1m2.345s'. */
function secondsOf(time: string): number {
  const [minutes = '0', seconds = '0'] = time.split('m')
  return 60 * Number(minutes) + Number.parseFloat(seconds)
}

/** What the requests of one command moved. */
function requestsOf(requests: readonly S3Request[]): string[] {
  const isShard = ({ key }: S3Request): boolean => key.includes('/data/')
  const copies = requests.filter(({ headers }) => headers['x-amz-copy-source'] !== undefined)
  const puts = requests.filter(
    ({ operation, headers }) => operation === 'PutObject' && headers['x-amz-copy-source'] === undefined,
  )
  const bytesOf = (put: S3Request): number => Number(put.headers['content-length'] ?? 0)
  return [
    `${requests.length} requests`,
    `${copies.filter(isShard).length} shards copied`,
    `${puts.filter(isShard).length} put`,
    `${mib(puts.reduce((sum, put) => sum + bytesOf(put), 0))} MiB sent`,
  ]
}

/** Size of every file of the output by its inode: a carried shard has that of its base. */
async function inodes(): Promise<Map<number, number>> {
  const found = new Map<number, number>()
  if (isS3) return found
  const entries = await readdir(output, { recursive: true, withFileTypes: true }).catch(() => [])
  for (const { parentPath, name } of entries.filter(entry => entry.isFile())) {
    const { ino, size } = await stat(join(parentPath, name))
    found.set(ino, size)
  }
  return found
}
