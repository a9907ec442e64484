// A cluster of one machine that can be hurt: real Redis, real worker processes, a folder or S3, and
// replicas of a fake TEI that count every text they compute.
//
//   worker processes ──> balancer ──> fake TEI, fake TEI, ...      (another model)
//     │ (kill, stop)──> Redis                                      (emptied, restarted, full, silent)
//     └───────────────> folder, or link ──> S3 test server         (errors, lost replies, silent)

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type LocalRedis, startRedis } from '@reembed/local'
import { openStore, type Store } from '@reembed/store'
import {
  type FakeTei,
  type S3Fault,
  type S3Request,
  type S3Server,
  startFakeTei,
  startFaultyLink,
  startLoadBalancer,
  startS3Server,
} from '@reembed/testing'
import { Redis } from 'ioredis'
import { temporaryFolder, writeJsonl } from '../parts/cli.ts'
import { DIMENSIONS, idOf, numberOf, PLANNED, textOf } from './audit.ts'
import { type Finished, finish } from './command.ts'
import { createFleet, type Fleet } from './fleet.ts'
import { createLookout, type Lookout, type Sight } from './lookout.ts'

export interface ClusterOptions {
  /** Node's arguments in front of those of `reembed`. */
  readonly command: readonly string[]
  readonly store: 'folder' | 's3'
  readonly documents: number
  readonly documentsPerShard: number
  /** What all replicas together compute in a second. */
  readonly textsPerSecond: number
  readonly replicas: number
  /** Workers know each replica by its own URL; else there is a balancer before them. */
  readonly listed?: boolean
  readonly workers: number
  readonly concurrency: number
  /** Of the n-th worker process. */
  readonly drainSeconds: (n: number) => number
  /** The clock of the n-th worker process; default: right. */
  readonly hoursAhead?: ((n: number) => number) | undefined
  /** The fault of a worker's request to S3. */
  readonly s3Fault?: ((request: S3Request) => S3Fault | undefined) | undefined
  /** Told every line that a worker process writes. */
  readonly onLine?: ((worker: number, line: string) => void) | undefined
}

export interface Cluster extends AsyncDisposable {
  readonly options: ClusterOptions
  readonly run: string
  readonly shards: number
  readonly store: Store
  readonly fleet: Fleet
  readonly lookout: Lookout
  readonly replicas: readonly FakeTei[]
  /** How often each document was computed, by whatever model. */
  readonly computed: Uint16Array
  readonly redis: Redis
  readonly redisUrl: string
  /** As kill -9 of Redis; it comes back empty on the same port. */
  restartRedis(): Promise<void>
  /** As SIGSTOP of Redis: connections stay and nothing answers. Returns what ends it. */
  silenceRedis(): () => void
  /**
   * Swallows all that is sent to S3 on old and new connections. Returns what ends it; undefined for
   * a folder.
   */
  silenceS3(): (() => void) | undefined
  /** Ends the workers, and then every fault. */
  calm(): Promise<void>
  reembed(...args: string[]): Promise<Finished>
}

/** Words of a text, which are the fake TEI's tokens. */
const TOKENS = 6

/** Starts everything, plans the run and enqueues it, then starts the workers. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  await using stack = new AsyncDisposableStack()
  const folder = stack.use(await temporaryFolder())
  const computed = new Uint16Array(options.documents)
  const replicas = await Promise.all(
    Array.from({ length: options.replicas }, () => startReplica(options, computed)),
  )
  for (const replica of replicas) stack.use(replica)
  const urls = replicas.map(({ url }) => url).join(',')
  const endpoint =
    options.listed || replicas.length === 1 ? urls : stack.use(await startLoadBalancer({ replicas })).url

  let server: LocalRedis = await startRedis()
  stack.defer(() => server[Symbol.asyncDispose]())
  const redisUrl = server.url
  const redis = new Redis(redisUrl, { maxRetriesPerRequest: null })
  redis.on('error', () => {})
  stack.defer(() => redis.disconnect())

  let faulty = false
  const faults = (request: S3Request): S3Fault | undefined =>
    faulty ? options.s3Fault?.(request) : undefined
  const s3 =
    options.store === 's3' ? await startS3Server({ buckets: ['corpora', 'vectors'], faults }) : undefined
  if (s3) stack.use(s3)
  const link = s3 && stack.use(await startFaultyLink({ target: Number(new URL(s3.endpoint).port) }))
  const env = { ...s3?.env, ...(link && { AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${link.port}` }) }
  for (const [name, value] of Object.entries(env)) process.env[name] = value
  stack.defer(() => {
    for (const name of Object.keys(env)) delete process.env[name]
  })
  const [source, output] = s3
    ? ['s3://corpora/all', 's3://vectors/all']
    : [join(folder.path, 'corpus.jsonl'), join(folder.path, 'vectors')]
  const corpus = Array.from({ length: options.documents }, (_, n) => ({ id: idOf(n), text: textOf(n) }))
  if (s3) {
    const lines = corpus.map(document => `${JSON.stringify(document)}\n`)
    s3.bucket('corpora').put('all/corpus.jsonl', Buffer.from(lines.join('')))
  } else await writeJsonl(source, corpus)

  faulty = true
  const reembed = (...args: string[]): Promise<Finished> => finish([...options.command, ...args], env)
  const parts = ['--endpoint', endpoint, '--redis', redisUrl]
  const sizes = ['--documents-per-shard', String(options.documentsPerShard)]
  const planned = await reembed(
    'enqueue',
    '--source',
    source,
    '--output',
    output,
    '--json',
    ...sizes,
    ...parts,
  )
  if (planned.code !== 0) throw new Error(`reembed enqueue failed: ${planned.stderr}`)
  const { run, shards } = JSON.parse(planned.stdout) as { run: string; shards: number }

  const store = stack.use(await openStore(output))
  const sight: Sight = s3
    ? sightOfBucket(s3.bucket('vectors'), 'all/')
    : {
        names: prefix => readdir(join(output, prefix)).catch(() => []),
        etag: async key => (await store.head(key))?.etag,
      }
  const lookout = stack.use(createLookout({ run, shards }, sight))
  const clockMs = (n: number): number => (options.hoursAhead?.(n) ?? 0) * 3_600_000
  const fleet = stack.use(
    createFleet({
      count: options.workers,
      env,
      onLine: options.onLine,
      clockMs,
      command: n => [
        ...clockOf(clockMs(n)),
        ...options.command,
        'worker',
        ...['--output', output],
        ...['--concurrency', String(options.concurrency)],
        ...['--drain-seconds', String(options.drainSeconds(n))],
        ...parts,
      ],
    }),
  )
  const owned = stack.move()

  return {
    options,
    run,
    shards,
    store,
    fleet,
    lookout,
    replicas,
    computed,
    redis,
    redisUrl,
    async restartRedis() {
      process.kill(server.pid, 'SIGKILL')
      await server[Symbol.asyncDispose]()
      server = await startRedis({
        port: Number(new URL(redisUrl).port),
        password: new URL(redisUrl).password,
      })
    },
    silenceRedis() {
      const { pid } = server
      process.kill(pid, 'SIGSTOP')
      return () => process.kill(pid, 'SIGCONT')
    },
    silenceS3() {
      if (link === undefined) return undefined
      link.fault = 'silent'
      return () => {
        link.fault = undefined
      }
    },
    async calm() {
      await fleet[Symbol.asyncDispose]()
      faulty = false
    },
    reembed,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

/** Node's arguments for a process whose clock is wrong. */
function clockOf(ms: number): string[] {
  if (ms === 0) return []
  const shifted = `const now = Date.now
    globalThis.Date = class extends Date {
      constructor(...given) { given.length === 0 ? super(now() + ${ms}) : super(...given) }
      static now() { return now() + ${ms} }
    }`
  return ['--import', `data:text/javascript,${encodeURIComponent(shifted)}`]
}

function startReplica({ replicas, textsPerSecond }: ClusterOptions, computed: Uint16Array): Promise<FakeTei> {
  return startFakeTei({
    dimensions: DIMENSIONS,
    sha: PLANNED,
    baseMs: 2,
    msPerToken: (1000 * replicas) / (textsPerSecond * TOKENS),
    faults: {
      // Asked with each text of a batch that is computed: this is what is paid for.
      failsBatch(text) {
        const n = numberOf(text)
        if (n !== undefined) computed[n] = (computed[n] ?? 0) + 1
        return false
      },
    },
  })
}

const sightOfBucket = (bucket: ReturnType<S3Server['bucket']>, root: string): Sight => ({
  async names(prefix) {
    const start = root + prefix
    return bucket.keys().flatMap(key => (key.startsWith(start) ? [key.slice(start.length)] : []))
  },
  etag: async key => bucket.get(root + key)?.etag,
})
