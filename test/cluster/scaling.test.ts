// KEDA and the HPA move the workers and TEI of the chart: from zero, and back to zero.

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createHashEngine, freePort, serveTei } from '@reembed/local'
import { startFakeTei } from '@reembed/testing'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Manifest, repository } from '../infra/parts/chart.ts'
import { startRedisServer } from '../infra/parts/redis-server.ts'
import { noKeda } from './binaries.ts'
import { type Cluster, startCluster } from './cluster.ts'
import { makeCa, makeCertificate } from './pki.ts'
import { eventually } from './processes.ts'
import { openSite, type Site } from './site.ts'

/** KEDA with short intervals. Formula, target and the policies of the HPA are the chart's own. */
const FAST = { maxReplicas: 4, keda: { pollingInterval: 2, cooldownPeriod: 5, initialCooldownPeriod: 0 } }
const OLD = 'a'.repeat(40)
const NEW = 'b'.repeat(40)
const SMALL_SHARDS = ['--documents-per-shard=50']
const ENQUEUE = { job: { enabled: true }, extraArgs: SMALL_SHARDS }

describe.skipIf(noKeda)(`scaling${noKeda ? ` (not run: ${noKeda})` : ''}`, () => {
  let cluster: Cluster
  beforeAll(async () => {
    cluster = await startCluster({ keda: true })
  }, 180_000)
  afterAll(async () => {
    await cluster?.[Symbol.asyncDispose]()
  }, 60_000)

  /** The largest number of workers until the run is published; then waits for none. */
  async function peakOf(site: Site, timeoutMs: number): Promise<number> {
    let peak = 0
    const published = site.published(timeoutMs)
    const state = { ended: false }
    published.then(
      () => Object.assign(state, { ended: true }),
      () => Object.assign(state, { ended: true }),
    )
    await eventually('the run ends', timeoutMs, async () => {
      peak = Math.max(peak, (await site.replicas('reembed-worker'))?.current ?? 0)
      return state.ended
    })
    await published
    await eventually(
      'no worker is left',
      60_000,
      async () => (await site.replicas('reembed-worker'))?.current === 0,
    )
    return peak
  }

  const scaledObjectReady = async (site: Site, name = 'reembed-worker'): Promise<boolean> => {
    const path = `/apis/keda.sh/v1alpha1/namespaces/${site.namespace}/scaledobjects/${name}`
    const { status } = await cluster.api.get(path)
    return status.conditions.some((one: Manifest) => one.type === 'Ready' && one.status === 'True')
  }

  test('an enqueue Job brings workers from zero, several for a backlog, and none stays', async () => {
    await using tei = await startFakeTei({ dimensions: 16, msPerToken: 0.5 })
    await using site = await openSite(cluster, 'from-zero', { documents: 2_000 })
    const values = {
      ...site.values,
      endpoint: { url: tei.url },
      autoscaling: FAST,
      worker: { concurrency: 2 },
    }
    await site.helm(['install', '--wait', '--timeout=60s'], values)
    await eventually(
      'there is no worker',
      60_000,
      async () => (await site.replicas('reembed-worker'))?.current === 0,
    )
    await site.helm(['upgrade', '--wait', '--timeout=60s'], {
      ...values,
      producer: { ...site.values.producer, ...ENQUEUE },
    })
    const peak = await peakOf(site, 180_000)
    expect(peak).toBeGreaterThan(1)
    expect(cluster.kubelet.events.filter(({ what }) => what === 'SIGKILL')).toEqual([])
  }, 400_000)

  test('a Redis with a private authority and ACL users, in database 3, scales workers from zero', async () => {
    await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
    const folder = join(cluster.folder, 'redis')
    await mkdir(folder)
    await using redis = await startTlsRedis(folder)
    await using site = await openSite(cluster, 'private-ca', { redis: redis.at(3) })
    await cluster.createSecret('private-ca', 'ca', { 'ca.crt': redis.authority })
    const values = {
      ...site.values,
      redis: { ...site.values.redis, database: 3 },
      ca: { existingSecret: 'ca' },
      endpoint: { url: tei.url },
      autoscaling: FAST,
      producer: { ...site.values.producer, job: { enabled: true } },
    }
    await site.helm(['install', '--wait', '--timeout=60s'], values)
    await eventually('KEDA reads Redis', 60_000, () => scaledObjectReady(site))
    expect(await peakOf(site, 120_000)).toBeGreaterThan(0)
  }, 300_000)

  test('a Secret with another database than the values stops the installation with the reason', async () => {
    await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
    await using site = await openSite(cluster, 'databases')
    const { host } = new URL(site.redisUrl)
    await cluster.createSecret('databases', 'redis', { url: `redis://${host}/3`, address: host })
    const values = { ...site.values, endpoint: { url: tei.url }, autoscaling: FAST }
    const ran = await cluster.helmChart('databases', ['install', '--wait', '--timeout=15s'], values)
    expect(ran.code).toBe(1)
    expect(await cluster.logs('databases', /exporter/)).toMatch(
      /names database 3, but the autoscaler reads database 0 \(REEMBED_REDIS_DATABASE\)/,
    )
  }, 120_000)

  test('an upgrade from a fixed number of workers to KEDA drops none', async () => {
    await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
    await using site = await openSite(cluster, 'to-keda')
    const values = { ...site.values, endpoint: { url: tei.url }, exporter: { enabled: false } }
    const fixed = { ...values, autoscaling: { mode: 'none' }, worker: { replicas: 3 } }
    await site.helm(['install', '--wait', '--timeout=90s'], fixed)
    const slow = { keda: { pollingInterval: 5, cooldownPeriod: 3600, initialCooldownPeriod: 3600 } }
    await site.helm(['upgrade', '--wait', '--timeout=90s'], { ...values, autoscaling: slow })
    await eventually('KEDA owns the replicas', 60_000, () => scaledObjectReady(site))
    expect(await site.replicas('reembed-worker')).toMatchObject({ desired: 3 })
    expect(
      cluster.kubelet.events.filter(({ namespace, what }) => namespace === 'to-keda' && what === 'SIGTERM'),
    ).toEqual([])
  }, 300_000)

  describe('TEI in the cluster', () => {
    const tei = (revision: string) => ({
      enabled: true,
      gpu: 'a10g',
      model: 'acme/model',
      revision,
      autoscaling: { cooldownPeriod: 10 },
      extraEnv: [{ name: 'LOAD_SECONDS', value: '2' }],
    })
    const autoscaling = {
      keda: { pollingInterval: 2, cooldownPeriod: 5, initialCooldownPeriod: 0 },
      maxReplicas: 2,
    }
    const name = (revision: string): string => `reembed-tei-${revision.slice(0, 8)}`

    test('TEI at zero wakes for the first plan, and returns to zero after the run', async () => {
      await using site = await openSite(cluster, 'tei-zero', { documents: 400 })
      const values = { ...site.values, autoscaling, tei: tei(OLD) }
      await site.helm(['install', '--wait', '--timeout=60s'], values)
      await eventually('TEI is at zero', 90_000, async () => (await site.replicas(name(OLD)))?.current === 0)
      const producer = { ...site.values.producer, job: { enabled: true }, extraArgs: SMALL_SHARDS }
      await site.helm(['upgrade'], { ...values, producer })
      await site.published(240_000)
      await eventually('TEI is at zero', 120_000, async () => (await site.replicas(name(OLD)))?.current === 0)
      await eventually(
        'no worker runs',
        60_000,
        async () => (await site.replicas('reembed-worker'))?.current === 0,
      )
    }, 600_000)

    test('another tei.revision during a run ends with the new run current, no jobs and no TEI left', async () => {
      await using site = await openSite(cluster, 'tei-change', { documents: 2_000 })
      const producer = { ...site.values.producer, job: { enabled: true }, extraArgs: SMALL_SHARDS }
      const values = { ...site.values, autoscaling, producer, tei: tei(OLD) }
      await site.helm(['install'], values)
      await eventually('some shards are written', 180_000, () => site.shards() > 2)
      await site.helm(['upgrade'], { ...values, tei: tei(NEW) })
      await site.published(300_000)
      expect((await site.reembed('ls')).stdout).toContain(NEW.slice(0, 8))
      expect(await site.replicas(name(OLD))).toBeNull()
      await eventually('TEI is at zero', 180_000, async () => (await site.replicas(name(NEW)))?.current === 0)
      const redis = new Redis(site.redisUrl)
      const left = await Promise.all(['wait', 'active'].map(state => redis.llen(`{reembed}:embed:${state}`)))
      left.push(await redis.zcard('{reembed}:embed:delayed'))
      redis.disconnect()
      expect(left).toEqual([0, 0, 0])
    }, 900_000)
  })
})

interface TlsRedis extends AsyncDisposable {
  readonly authority: string
  /** Address and Secret for one database of it. */
  at(database: number): { readonly url: string; readonly secret: Readonly<Record<string, string>> }
}

/** A redis-server with TLS only, and the users of infra/redis/users.acl. */
async function startTlsRedis(folder: string): Promise<TlsRedis> {
  const ca = await makeCa(folder, 'private-ca')
  const { cert, key } = await makeCertificate(folder, 'redis', ca, ['DNS:localhost', 'IP:127.0.0.1'])
  const users = await readFile(join(repository, 'infra/redis/users.acl'), 'utf8')
  const acl = join(folder, 'users.acl')
  await writeFile(acl, users.replaceAll(/@\w+_PASSWORD@/g, 'p%40ss'))
  const port = await freePort()
  const server = await startRedisServer(folder, [
    ...['--tls-port', String(port), '--tls-cert-file', cert, '--tls-key-file', key],
    ...['--tls-ca-cert-file', ca.cert, '--tls-auth-clients', 'no', '--aclfile', acl],
  ])
  const address = `localhost:${port}`
  return {
    authority: await readFile(ca.cert, 'utf8'),
    at(database) {
      const url = `rediss://reembed:${encodeURIComponent('p%40ss')}@${address}/${database}`
      return { url, secret: { url, address, username: 'keda', password: 'p%40ss', tls: 'enable' } }
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}
