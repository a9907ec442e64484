// A namespace with what an installation needs: Redis, S3, a corpus, and Secrets that lead to them.

import { type LocalRedis, startRedis } from '@reembed/local'
import { openStore } from '@reembed/store'
import { type S3Server, startS3Server } from '@reembed/testing'
import type { Manifest } from '../infra/parts/chart.ts'
import { documents, type Finished, reembed } from '../parts/cli.ts'
import type { Cluster, Ran } from './cluster.ts'
import { eventually } from './processes.ts'

export interface Site extends AsyncDisposable {
  readonly namespace: string
  readonly redisUrl: string
  readonly s3: S3Server
  /** Values for every installation here; without an endpoint. */
  readonly values: Manifest
  /** `helm <command...> reembed <chart>`. @throws if Helm fails */
  helm(command: readonly string[], values: Manifest): Promise<Ran>
  /** Runs the command on this machine, with the S3 and Redis of the site. */
  reembed(...args: readonly string[]): Promise<Finished>
  /** Ready, current and desired replicas of a Deployment; null if it does not exist. */
  replicas(deployment: string): Promise<{ ready: number; current: number; desired: number } | null>
  /** The number of shards in the output. */
  shards(): number
  /** Resolves when the output has a verified current version. */
  published(timeoutMs: number): Promise<void>
}

export interface SiteOptions {
  readonly documents?: number
  /** For the Secrets, instead of a private Redis. */
  readonly redis?: { readonly url: string; readonly secret: Readonly<Record<string, string>> }
}

export const OUTPUT = 's3://vectors/wiki'
export const SOURCE = 's3://corpora/wiki/'

/** Opens a site in a new namespace. */
export async function openSite(
  cluster: Cluster,
  namespace: string,
  options: SiteOptions = {},
): Promise<Site> {
  await using stack = new AsyncDisposableStack()
  const s3 = stack.use(await startS3Server({ buckets: ['corpora', 'vectors'] }))
  const redis: LocalRedis | undefined =
    options.redis === undefined ? stack.use(await startRedis()) : undefined
  const redisUrl = options.redis?.url ?? redis?.url ?? ''
  await cluster.createNamespace(namespace)
  await cluster.createSecret(namespace, 'redis', options.redis?.secret ?? secretOf(redisUrl))
  await cluster.createSecret(namespace, 's3', {
    AWS_ACCESS_KEY_ID: s3.env.AWS_ACCESS_KEY_ID ?? '',
    AWS_SECRET_ACCESS_KEY: s3.env.AWS_SECRET_ACCESS_KEY ?? '',
  })
  await putCorpus(s3, options.documents ?? 200)
  stack.defer(async () => {
    await cluster.helm(namespace, 'uninstall', 'reembed', '--ignore-not-found')
    await cluster.api.delete(`/api/v1/namespaces/${namespace}`)
    await Promise.all(cluster.kubelet.pods(namespace, /./).map(pod => pod.removed))
  })
  const values = {
    outputs: [OUTPUT],
    redis: { existingSecret: 'redis' },
    s3: { endpoint: s3.endpoint, region: 'us-east-1', existingSecret: 's3' },
    producer: { source: SOURCE },
  }
  const env = { ...s3.env, REDIS_URL: redisUrl, REEMBED_OUTPUT: OUTPUT }
  const all = stack.move()
  return {
    ...{ namespace, redisUrl, s3, values },
    async helm(command, given) {
      const ran = await cluster.helmChart(namespace, command, given)
      if (ran.code === 0) return ran
      const logs = await cluster.logs(namespace, /./)
      throw new Error(`helm ${command.join(' ')}: ${ran.output}\n${logs.split('\n').slice(-40).join('\n')}`)
    },
    reembed: (...args) => reembed(args, env),
    async replicas(deployment) {
      const found = await cluster.api.get(`/apis/apps/v1/namespaces/${namespace}/deployments/${deployment}`)
      if (found === undefined) return null
      const { replicas = 0, readyReplicas = 0 } = found.status
      return { ready: readyReplicas, current: replicas, desired: found.spec.replicas }
    },
    shards: () =>
      s3
        .bucket('vectors')
        .keys()
        .filter(key => key.endsWith('.parquet')).length,
    async published(timeoutMs) {
      await eventually('a version is published', timeoutMs, async () => {
        const { code } = await reembed(['verify'], env)
        return code === 0
      }).catch(async error => {
        const { stdout, stderr } = await reembed(['status'], env)
        throw new Error(`${stdout}${stderr}`, { cause: error })
      })
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

/** The Secret of a `redis://` server: KEDA reads its parts, the pods read the URL. */
function secretOf(url: string): Record<string, string> {
  const { host, username, password } = new URL(url)
  const [user = '', secret = ''] = [username, password].map(decodeURIComponent)
  return { url, address: host, username: user, password: secret, tls: 'disable' }
}

async function putCorpus(s3: S3Server, count: number): Promise<void> {
  for (const [name, value] of Object.entries(s3.env)) process.env[name] = value
  try {
    await using store = await openStore(SOURCE, { unsafe: true, s3: { endpoint: s3.endpoint } })
    const lines = documents(count).map(document => `${JSON.stringify(document)}\n`)
    await store.putIfAbsent('all.jsonl', Buffer.from(lines.join('')))
  } finally {
    for (const name of Object.keys(s3.env)) delete process.env[name]
  }
}
