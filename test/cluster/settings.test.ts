// Settings of the chart that only a cluster can prove: what reaches the processes, and what a
// mistake causes.

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createHashEngine, serveTei } from '@reembed/local'
import { expect, test } from 'vitest'
import { noCluster } from './binaries.ts'
import { eventually } from './processes.ts'
import { openSite } from './site.ts'
import { describeOnCluster } from './suite.ts'
import { startTlsRedis } from './tls-redis.ts'

const FIXED = { autoscaling: { mode: 'none' }, worker: { replicas: 1 } }

describeOnCluster('settings', { missing: noCluster }, cluster => {
  test('workers use a Redis with a private authority and ACL users, in database 3', async () => {
    await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
    const folder = join(cluster().folder, 'redis')
    await mkdir(folder)
    await using redis = await startTlsRedis(folder)
    await using site = await openSite(cluster(), 'private-ca', { redis: redis.at(3) })
    await cluster().createSecret('private-ca', 'ca', { 'ca.crt': redis.authority })
    await site.helm(['install', '--wait', '--timeout=90s'], {
      ...site.values,
      ...FIXED,
      redis: { ...site.values.redis, database: 3 },
      ca: { existingSecret: 'ca' },
      endpoint: { url: tei.url },
      producer: { ...site.values.producer, job: { enabled: true } },
    })
    await site.published(90_000)
  }, 300_000)

  test('a Secret with another database than the values stops the installation with the reason', async () => {
    await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
    await using site = await openSite(cluster(), 'databases')
    const { host } = new URL(site.redisUrl)
    await cluster().createSecret('databases', 'redis', { url: `redis://${host}/3`, address: host })
    const values = {
      ...site.values,
      endpoint: { url: tei.url },
      autoscaling: FIXED.autoscaling,
      worker: { replicas: 0 },
    }
    const ran = await cluster().helmChart('databases', ['install', '--wait', '--timeout=15s'], values)
    expect(ran.code).toBe(1)
    expect(await cluster().logs('databases', /exporter/)).toMatch(
      /names database 3, but the autoscaler reads database 0/,
    )
  }, 120_000)

  test('a failed enqueue Job keeps the log of each attempt', async () => {
    await using site = await openSite(cluster(), 'logs')
    const producer = { ...site.values.producer, source: 's3://corpora/nothing/', job: { enabled: true } }
    const tei = { url: 'http://127.0.0.1:1' }
    await site.helm(['install'], {
      ...site.values,
      ...FIXED,
      endpoint: tei,
      producer,
      worker: { replicas: 0 },
    })
    await eventually('an attempt has failed', 60_000, async () => {
      const { items } = await cluster().api.get('/api/v1/namespaces/logs/pods')
      return items.some(
        ({ metadata, status }: { metadata: { name: string }; status: { phase: string } }) =>
          /enqueue/.test(metadata.name) && status.phase === 'Failed',
      )
    })
    expect(await cluster().logs('logs', /enqueue/)).toMatch(/reembed: /)
  }, 120_000)

  test('an upgrade from a fixed number of workers to KEDA stops none of them', async () => {
    await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
    await using site = await openSite(cluster(), 'to-keda')
    const values = { ...site.values, endpoint: { url: tei.url }, exporter: { enabled: false } }
    const fixed = { ...values, autoscaling: { mode: 'none' }, worker: { replicas: 2 } }
    await site.helm(['install', '--wait', '--timeout=90s'], fixed)
    const slow = { keda: { pollingInterval: 5, cooldownPeriod: 3600, initialCooldownPeriod: 3600 } }
    await site.helm(['upgrade', '--wait', '--timeout=90s'], { ...values, autoscaling: slow })
    expect(await site.replicas('reembed-worker')).toMatchObject({ desired: 2, ready: 2 })
    expect(
      cluster().kubelet.events.filter(({ namespace, what }) => namespace === 'to-keda' && what === 'SIGTERM'),
    ).toEqual([])
  }, 300_000)
})
