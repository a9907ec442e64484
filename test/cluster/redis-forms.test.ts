// KEDA reads the queue on a Redis Cluster and behind Sentinels, as the user of
// infra/redis/users.acl, and keeps the workers while Redis refuses connections.

import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startFakeTei } from '@reembed/testing'
import { expect, test } from 'vitest'
import { repository } from '../infra/parts/chart.ts'
import { freePort, startRedisServer } from '../infra/parts/redis-server.ts'
import { startCluster, startSentinels } from '../redis/servers.ts'
import { noKeda } from './binaries.ts'
import { eventually } from './processes.ts'
import { FAST, isScaledObjectReady, peakOf } from './scaling.ts'
import { openSite } from './site.ts'
import { describeOnCluster } from './suite.ts'

/**
 * Failed reads that are reported before `least` counts: four triggers over more polls than the
 * failureThreshold of the chart's fallback.
 */
const FAILED_READS = 40
const PASSWORD = 'keda-secret'
const ENQUEUE = { job: { enabled: true }, extraArgs: ['--documents-per-shard=50'] }

/** The line of the user `keda` in users.acl. */
async function kedaUser(): Promise<string> {
  const users = await readFile(join(repository, 'infra/redis/users.acl'), 'utf8')
  const line = users.split('\n').find(one => one.startsWith('user keda ')) ?? ''
  return line.replace('@KEDA_PASSWORD@', PASSWORD)
}

describeOnCluster('Redis of KEDA', { missing: noKeda, keda: true }, cluster => {
  test.each([
    { name: 'a Cluster of six nodes', open: startCluster, redis: { mode: 'cluster' } },
    {
      name: 'a primary behind three Sentinels',
      open: startSentinels,
      redis: { mode: 'sentinel', sentinelMaster: 'vectors' },
    },
  ])(
    'workers follow the queue on $name from zero and back to zero',
    async ({ open, redis }) => {
      const folder = join(cluster().folder, redis.mode)
      await mkdir(folder)
      await using tei = await startFakeTei({ dimensions: 16, msPerToken: 2 })
      await using fleet = await open(folder)
      await fleet.addUser(await kedaUser())
      const secret = {
        ...{ url: fleet.url, address: fleet.addresses, tls: 'disable' },
        ...{ username: 'keda', password: PASSWORD, sentinelUsername: '', sentinelPassword: '' },
      }
      const options = { documents: 2_000, redis: { url: fleet.url, secret } }
      await using site = await openSite(cluster(), redis.mode, options)
      const values = {
        ...site.values,
        redis: { ...site.values.redis, ...redis },
        endpoint: { url: tei.url },
        autoscaling: FAST,
        worker: { concurrency: 2 },
      }
      await site.helm(['install', '--wait', '--timeout=60s'], values)
      await eventually('KEDA reads Redis', 60_000, () => isScaledObjectReady(cluster(), redis.mode))
      await eventually(
        'there is no worker',
        120_000,
        async () => (await site.replicas('reembed-worker'))?.current === 0,
      )
      const producer = { ...site.values.producer, ...ENQUEUE }
      await site.helm(['upgrade', '--wait', '--timeout=60s'], { ...values, producer })
      expect(await peakOf(site, 180_000)).toBeGreaterThan(1)
    },
    500_000,
  )

  test('while Redis refuses connections the workers stay, and the run ends when an empty Redis is back', async () => {
    const folder = join(cluster().folder, 'refused')
    await mkdir(folder)
    const port = await freePort()
    const startAgain = () =>
      startRedisServer(folder, ['--save', '', '--maxmemory-policy', 'noeviction'], port)
    await using tei = await startFakeTei({ dimensions: 16, msPerToken: 2 })
    await using lost = await startAgain()
    const url = `redis://127.0.0.1:${port}`
    const secret = { url, address: `127.0.0.1:${port}`, username: '', password: '', tls: 'disable' }
    await using site = await openSite(cluster(), 'refused', { documents: 3_000, redis: { url, secret } })
    await site.helm(['install'], {
      ...site.values,
      endpoint: { url: tei.url },
      autoscaling: FAST,
      worker: { concurrency: 2 },
      producer: { ...site.values.producer, ...ENQUEUE },
    })
    const workers = async (): Promise<number> => (await site.replicas('reembed-worker'))?.current ?? 0
    await eventually('several workers embed', 120_000, async () => (await workers()) > 1 && site.shards() > 2)
    await lost[Symbol.asyncDispose]()
    const before = await workers()
    let least = before
    await eventually('KEDA has failed to read Redis often', 120_000, async () => {
      least = Math.min(least, await workers())
      const log = await readFile(join(cluster().folder, 'logs/keda-operator.log'), 'utf8')
      return log.split(`${port}: connect: connection refused`).length > FAILED_READS
    })
    expect(least).toBe(before)
    await using _back = await startAgain()
    expect(await peakOf(site, 180_000)).toBeGreaterThan(0)
  }, 500_000)
})
