// Every command against every dependency that answers in none of the right ways: how soon it tells
// what it waits for, when it ends, with which exit code, and how soon a signal ends it.

import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createHashEngine, serveTei, startRedis } from '@reembed/local'
import { mapConcurrent } from '@reembed/shared'
import { type LinkFault, startFaultyLink, startS3Server } from '@reembed/testing'
import { documents, flags, reembed, start, temporaryFolder, writeJsonl } from '../parts/cli.ts'

export type Failure = LinkFault | 'refuses' | 'tls stuck'
export const FAILURES: readonly Failure[] = [
  'refuses',
  'silent',
  'drips',
  'stops',
  'nonsense',
  'endless',
  'tls stuck',
]
export type Dependency = 'Redis' | 'S3' | 'endpoint' | 'Hub' | 'management API'

/** Addresses of the dependencies; a cell replaces one of them with a faulty one. */
interface Places {
  readonly redis: string
  readonly s3: string
  readonly endpoint: string
  readonly hub: string
  readonly api: string
  readonly source: string
  /** A finished run, one that waits for its jobs, and an output without runs. */
  readonly finished: { readonly output: string; readonly runs: readonly [string, string] }
  readonly queued: { readonly output: string; readonly run: string }
  readonly fresh: string
  readonly folder: string
}

interface Command {
  readonly name: string
  readonly uses: readonly Dependency[]
  readonly args: (places: Places) => readonly string[]
  /** Stays up: only the time to its first line and that of a signal are measured. */
  readonly staysUp?: boolean
}

const planning = ({ source, endpoint, fresh }: Places): string[] => flags({ source, endpoint, output: fresh })

export const COMMANDS: readonly Command[] = [
  {
    name: 'run',
    uses: ['Redis', 'S3', 'endpoint'],
    args: places => ['run', ...planning(places), ...flags({ redis: places.redis })],
  },
  {
    name: 'enqueue',
    uses: ['Redis', 'S3', 'endpoint'],
    args: places => ['enqueue', ...planning(places), ...flags({ redis: places.redis })],
  },
  { name: 'plan', uses: ['S3', 'endpoint'], args: places => ['plan', ...planning(places)] },
  {
    name: 'plan hf://',
    uses: ['Hub'],
    args: ({ endpoint }) => ['plan', ...flags({ source: 'hf://datasets/org/name', endpoint })],
  },
  {
    name: 'plan --chunk-tokens',
    uses: ['Hub'],
    args: ({ source, endpoint }) => ['plan', ...flags({ source, endpoint, 'chunk-tokens': '16' })],
  },
  {
    name: 'preview',
    uses: ['S3', 'endpoint'],
    args: ({ source, endpoint, finished: { output } }) => ['preview', ...flags({ source, endpoint, output })],
  },
  {
    name: 'worker',
    uses: ['Redis'],
    args: ({ redis, endpoint, queued: { output } }) => ['worker', ...flags({ redis, endpoint, output })],
  },
  {
    name: 'worker (up)',
    uses: ['S3', 'endpoint'],
    staysUp: true,
    args: ({ redis, endpoint, queued: { output } }) => [
      'worker',
      ...flags({ redis, endpoint, output, 'drain-seconds': '1' }),
    ],
  },
  {
    name: 'producer',
    uses: ['Redis', 'S3'],
    args: ({ redis, source, endpoint, fresh, folder }) => [
      'producer',
      ...flags({ redis, source, endpoint, output: fresh, config: join(folder, 'reembed.yaml') }),
    ],
  },
  {
    name: 'schedule tick',
    uses: ['Redis', 'S3'],
    args: ({ redis, source, endpoint, fresh, folder }) => [
      ...['schedule', 'tick'],
      ...flags({ redis, source, endpoint, output: fresh, config: join(folder, 'reembed.yaml') }),
    ],
  },
  {
    name: 'exporter (up)',
    uses: ['Redis', 'S3'],
    staysUp: true,
    args: ({ redis, finished: { output } }) => ['exporter', ...flags({ redis, output, metrics: '0' })],
  },
  {
    name: 'console (up)',
    uses: ['Redis', 'S3'],
    staysUp: true,
    args: ({ redis, finished: { output } }) => ['console', ...flags({ redis, output, listen: '0' })],
  },
  {
    name: 'status',
    uses: ['Redis', 'S3'],
    args: ({ redis, queued: { output } }) => ['status', ...flags({ redis, output })],
  },
  {
    name: 'ls',
    uses: ['Redis', 'S3'],
    args: ({ redis, queued: { output } }) => ['ls', ...flags({ redis, output })],
  },
  {
    name: 'resume',
    uses: ['Redis', 'S3'],
    args: ({ redis, queued: { output, run } }) => ['resume', run, ...flags({ redis, output })],
  },
  ...(['pause', 'cancel'] as const).map(name => ({
    name,
    uses: ['S3'] as const,
    args: ({ queued: { output, run } }: Places) => [name, run, ...flags({ output })],
  })),
  ...(['versions', 'verify', 'rejects', 'current', 'recall', 'gc', 'rollback'] as const).map(name => ({
    name,
    uses: ['S3'] as const,
    args: ({ finished: { output } }: Places) => [name, ...flags({ output })],
  })),
  {
    name: 'publish',
    uses: ['S3'],
    args: ({ finished: { output, runs } }) => ['publish', runs[0], '--force', ...flags({ output })],
  },
  {
    name: 'diff',
    uses: ['S3'],
    args: ({ finished: { output, runs } }) => ['diff', ...runs, ...flags({ output })],
  },
  {
    name: 'report',
    uses: ['S3'],
    args: ({ finished: { output, runs } }) => ['report', ...runs, ...flags({ output })],
  },
  {
    name: 'export',
    uses: ['S3'],
    args: ({ finished: { output }, folder }) => [
      'export',
      ...flags({ output, layout: 'npy', to: join(folder, 'exported') }),
    ],
  },
  {
    name: 'search',
    uses: ['S3', 'endpoint'],
    args: ({ finished: { output }, endpoint }) => ['search', 'words', ...flags({ output, endpoint })],
  },
  {
    name: 'evaluate',
    uses: ['S3', 'endpoint'],
    args: ({ finished: { output }, endpoint, folder }) => [
      'evaluate',
      ...flags({ output, endpoint }),
      ...flags({ 'gate-queries': join(folder, 'queries.jsonl'), 'gate-qrels': join(folder, 'qrels.tsv') }),
    ],
  },
  {
    name: 'retry',
    uses: ['S3'],
    args: ({ finished: { output, runs }, endpoint, redis }) => [
      ...['retry', runs[1], '--rejects'],
      ...flags({ output, endpoint, redis }),
    ],
  },
  { name: 'embed', uses: ['endpoint'], args: ({ endpoint }) => ['embed', 'words', ...flags({ endpoint })] },
  {
    name: 'doctor',
    uses: ['Redis', 'S3', 'endpoint'],
    args: ({ source, finished: { output }, endpoint, redis }) => [
      'doctor',
      ...flags({ source, output, endpoint, redis }),
    ],
  },
  {
    name: 'endpoint bench',
    uses: ['endpoint'],
    args: ({ endpoint }) => ['endpoint', 'bench', ...flags({ endpoint, seconds: '1' })],
  },
  { name: 'endpoint status', uses: ['management API'], args: () => ['endpoint', 'status', 'hf:acme/bge'] },
  { name: 'endpoint price', uses: ['management API'], args: () => ['endpoint', 'price', 'acme'] },
]

export interface Cell {
  readonly dependency: Dependency
  readonly failure: Failure
  readonly command: string
  /** Milliseconds until the first line on stderr or stdout, and until the end. */
  readonly firstLineMs: number | null
  readonly endMs: number | null
  readonly code: number | null
  /** The last line on stderr. */
  readonly line: string
  /** Milliseconds until a SIGTERM, sent while it waits, has ended the process. */
  readonly signalMs: number | null
}

export interface MatrixOptions {
  /** `--timeout` of the commands. */
  readonly timeoutSeconds: number
  readonly atOnce: number
  /** Which cells are measured; all if not given. */
  readonly isWanted?: (cell: Pick<Cell, 'dependency' | 'failure' | 'command'>) => boolean
  readonly onCell?: (cell: Cell) => void
}

/** Failures that a command meets at once: no wait that a signal could end. */
const ENDS_BY_ITSELF: ReadonlySet<Failure> = new Set(['refuses', 'stops', 'nonsense', 'endless'])

/** Longest wait for a process that does not end. */
const MOST_MS = 60_000

export async function measureMatrix({
  timeoutSeconds,
  atOnce,
  isWanted = () => true,
  onCell,
}: MatrixOptions): Promise<Cell[]> {
  await using stack = new AsyncDisposableStack()
  const { path: folder } = stack.use(await temporaryFolder())
  const redis = stack.use(await startRedis())
  const s3 = stack.use(await startS3Server())
  const tei = stack.use(await serveTei({ engine: createHashEngine({ dimensions: 8 }) }))
  const env = {
    ...s3.env,
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_CONFIG_FILE: '/nonexistent',
    AWS_SHARED_CREDENTIALS_FILE: '/nonexistent',
    HF_TOKEN: 'hf_matrix',
    REEMBED_TIMEOUT: String(timeoutSeconds),
  }
  const source = await writeJsonl(join(folder, 'corpus.jsonl'), documents(60))
  await writeFile(
    join(folder, 'reembed.yaml'),
    'version: 1\nschedules:\n  - { name: always, cron: "* * * * *" }\n',
  )
  await writeJsonl(join(folder, 'queries.jsonl'), [{ _id: 'q1', text: 'document 1' }])
  await writeFile(join(folder, 'qrels.tsv'), 'query-id\tcorpus-id\tscore\nq1\td1\t1\n')

  const made = async (
    command: string,
    output: string,
    more: Record<string, string> = {},
  ): Promise<string> => {
    const given = flags({ source, output, endpoint: tei.url, redis: redis.url, ...more })
    const { code, stdout, stderr } = await reembed([command, '--json', ...given], env)
    if (code !== 0) throw new Error(`the runs of the matrix could not be made: ${stderr}`)
    return (JSON.parse(stdout) as { run: string }).run
  }
  const finished = 's3://test/finished'
  const queued = 's3://test/queued'
  const runs = [
    await made('run', finished),
    await made('run', finished, { 'documents-per-shard': '20' }),
  ] as const
  const queuedRun = await made('enqueue', queued)

  let fresh = 0
  const good = (): Places => ({
    redis: redis.url,
    s3: s3.endpoint,
    endpoint: tei.url,
    hub: 'http://127.0.0.1:9',
    api: 'http://127.0.0.1:9',
    source,
    finished: { output: finished, runs },
    queued: { output: queued, run: queuedRun },
    fresh: `s3://test/fresh-${fresh++}`,
    folder,
  })

  const targets: Record<Dependency, string> = {
    Redis: redis.url,
    S3: s3.endpoint,
    endpoint: tei.url,
    Hub: tei.url,
    'management API': tei.url,
  }
  async function faulty(dependency: Dependency, failure: Failure, held: AsyncDisposableStack) {
    const scheme = dependency === 'Redis' ? 'redis' : 'http'
    if (failure === 'refuses') {
      return { url: `${scheme}://127.0.0.1:${await closedPort()}`, used: undefined }
    }
    const fault = failure === 'tls stuck' ? 'silent' : failure
    const target = Number(new URL(targets[dependency]).port)
    const link = held.use(await startFaultyLink({ target, fault, dripMs: 200 }))
    const url = `${scheme}${failure === 'tls stuck' ? 's' : ''}://127.0.0.1:${link.port}`
    return { url, used: link.used }
  }

  async function measure(command: Command, dependency: Dependency, failure: Failure): Promise<Cell> {
    await using held = new AsyncDisposableStack()
    const place = await faulty(dependency, failure, held)
    const places: Places = {
      ...good(),
      ...(dependency === 'Redis' && { redis: place.url }),
      ...(dependency === 'S3' && { s3: place.url }),
      ...(dependency === 'endpoint' && { endpoint: place.url }),
      ...(dependency === 'Hub' && { hub: place.url }),
      ...(dependency === 'management API' && { api: place.url }),
    }
    const run = () =>
      start(command.args(places), {
        ...env,
        AWS_ENDPOINT_URL_S3: places.s3,
        HF_ENDPOINT: places.hub,
        REEMBED_HF_API: places.api,
      })
    const untilEnd = command.staysUp ? undefined : await ended(run(), place.used)
    const signalMs = ENDS_BY_ITSELF.has(failure) ? null : await signalled(run(), place.used, timeoutSeconds)
    const cell: Cell = {
      dependency,
      failure,
      command: command.name,
      firstLineMs: untilEnd?.firstLineMs ?? null,
      endMs: untilEnd?.endMs ?? null,
      code: untilEnd?.code ?? null,
      line: untilEnd?.line ?? '',
      signalMs,
    }
    onCell?.(cell)
    return cell
  }

  const cells = COMMANDS.flatMap(command =>
    command.uses.flatMap(dependency =>
      FAILURES.filter(
        failure =>
          !(command.staysUp && ENDS_BY_ITSELF.has(failure)) &&
          isWanted({ command: command.name, dependency, failure }),
      ).map(failure => [command, dependency, failure] as const),
    ),
  )
  // Faults of S3 come last: a request that takes effect without a reply changes the runs.
  cells.sort((a, b) => Number(a[1] === 'S3') - Number(b[1] === 'S3'))
  return await Array.fromAsync(mapConcurrent(cells, cell => measure(...cell), { concurrency: atOnce }))
}

type Started = ReturnType<typeof start>

/**
 * Runs a command to its end. Times count from its first connection to the dependency: how long a
 * process takes to start depends on what else the machine does.
 */
async function ended({ child, finished }: Started, used: Promise<number> | undefined) {
  let beginMs = performance.now()
  let firstMs: number | undefined
  void used?.then(ms => {
    beginMs = ms
  })
  const note = (): void => {
    firstMs ??= performance.now()
  }
  child.stderr?.once('data', note)
  child.stdout?.once('data', note)
  const timer = setTimeout(() => child.kill('SIGKILL'), MOST_MS)
  const { code, stderr } = await finished
  clearTimeout(timer)
  return {
    firstLineMs: firstMs === undefined ? null : Math.max(0, firstMs - beginMs),
    endMs: performance.now() - beginMs,
    code,
    line: stderr.trimEnd().split('\n').at(-1) ?? '',
  }
}

/** The time from a SIGTERM, sent while the command waits, to its end; null if it did not wait. */
async function signalled(
  { child, finished }: Started,
  used: Promise<number> | undefined,
  timeoutSeconds: number,
): Promise<number | null> {
  let over = false
  const done = finished.then(() => {
    over = true
  })
  const waiting = async (): Promise<void> => {
    await used
    await sleep((1000 * timeoutSeconds) / 3)
  }
  await Promise.race([done, waiting()])
  if (over) return null
  const sentMs = performance.now()
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), MOST_MS)
  await done
  clearTimeout(timer)
  return performance.now() - sentMs
}

/** A port of this machine that refuses connections. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
