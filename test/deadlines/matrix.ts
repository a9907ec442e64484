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
import { startQdrant } from '../parts/qdrant.ts'
import { COMMANDS, type Command, type Dependency, type Places } from './commands.ts'

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
export interface Cell {
  readonly dependency: Dependency
  readonly failure: Failure
  readonly command: string
  /** Milliseconds until the first line on stderr or stdout, and until the end. */
  readonly firstLineMs: number | null
  readonly endMs: number | null
  readonly code: number | null
  readonly expectedCode: number
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
  const vectors = stack.use(await startQdrant(''))
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
  const queuedRun = await made('enqueue', queued, { 'documents-per-shard': '2' })

  let fresh = 0
  const good = (): Places => ({
    redis: redis.url,
    s3: s3.endpoint,
    endpoint: tei.url,
    hub: 'http://127.0.0.1:9',
    api: 'http://127.0.0.1:9',
    vectors: vectors.url,
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
    'vector store': vectors.url,
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
      ...(dependency === 'vector store' && { vectors: place.url }),
    }
    const run = () =>
      start(command.args(places), {
        ...env,
        AWS_ENDPOINT_URL_S3: places.s3,
        HF_ENDPOINT: places.hub,
        REEMBED_HF_API: places.api,
        // What stays up must start first, also on a busy machine.
        ...(command.staysUp && { REEMBED_TIMEOUT: String(5 * timeoutSeconds) }),
      })
    const untilEnd = command.staysUp ? undefined : await ended(run(), place.used)
    const signalMs = ENDS_BY_ITSELF.has(failure) ? null : await signalled(run(), place.used, timeoutSeconds)
    const hasEnded = command.staysUp && signalMs === null
    const cell: Cell = {
      dependency,
      failure,
      command: command.name,
      firstLineMs: untilEnd?.firstLineMs ?? null,
      endMs: untilEnd?.endMs ?? null,
      code: untilEnd?.code ?? null,
      expectedCode: command.continues ? 0 : 5,
      line: untilEnd?.line ?? '',
      // A process that should have stayed up.
      signalMs: hasEnded ? MOST_MS : signalMs,
    }
    onCell?.(cell)
    return cell
  }

  const hasClient = await Promise.all(
    COMMANDS.map(({ client }) => client === undefined || isInstalled(client)),
  )
  const cells = COMMANDS.filter((_, i) => hasClient[i]).flatMap(command =>
    command.uses.flatMap(dependency =>
      FAILURES.filter(
        failure =>
          !(command.staysUp && ENDS_BY_ITSELF.has(failure)) &&
          isWanted({ command: command.name, dependency, failure }),
      ).map(failure => [command, dependency, failure] as const),
    ),
  )
  // Faults of S3 come last: a request that takes effect without a reply changes the runs. Deletions
  // come at the end.
  const turnOf = ([command, dependency]: (typeof cells)[number]): number =>
    Number(dependency === 'S3') + Number(command.name === 'gc --delete')
  cells.sort((a, b) => turnOf(a) - turnOf(b))
  return await Array.fromAsync(mapConcurrent(cells, cell => measure(...cell), { concurrency: atOnce }))
}

const isInstalled = (client: string): Promise<boolean> =>
  import(client).then(
    () => true,
    () => false,
  )

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
  let isUsed: boolean | undefined
  const done = finished.then(() => {
    over = true
  })
  const waiting = async (): Promise<void> => {
    isUsed = await Promise.race([used?.then(() => true), sleep(MOST_MS, false, { ref: false })])
    if (isUsed !== false) await sleep((1000 * timeoutSeconds) / 3)
  }
  await Promise.race([done, waiting()])
  if (over) return null
  const sentMs = performance.now()
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), MOST_MS)
  await done
  clearTimeout(timer)
  // Without a connection, the cell is a mistake of the matrix.
  return isUsed === false ? MOST_MS : performance.now() - sentMs
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
