// KEDA and the HPA move the workers and TEI of the chart: from zero, and back to zero.

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createHashEngine, serveTei } from '@reembed/local'
import { startFakeTei } from '@reembed/testing'
import { Redis } from 'ioredis'
import { describe, expect, test } from 'vitest'
import { noKeda } from './binaries.ts'
import { eventually } from './processes.ts'
import { FAST, isScaledObjectReady, peakOf } from './scaling.ts'
import { openSite } from './site.ts'
import { describeOnCluster } from './suite.ts'
import { startTlsRedis } from './tls-redis.ts'

const OLD = 'a'.repeat(40)
const NEW = 'b'.repeat(40)
const SMALL_SHARDS = ['--documents-per-shard=50']
const ENQUEUE = { job: { enabled: true }, extraArgs: SMALL_SHARDS }

describeOnCluster('scaling', { missing: noKeda, keda: true }, cluster => {
  test('an enqueue Job brings workers from zero, several for a backlog, and none stays', async () => {
    await using tei = await startFakeTei({ dimensions: 16, msPerToken: 0.5 })
    await using site = await openSite(cluster(), 'from-zero', { documents: 2_000 })
    const values = {
      ...site.values,
      endpoint: { url: tei.url },
      autoscaling: FAST,
      worker: { concurrency: 2 },
    }
    await site.helm(['install', '--wait', '--timeout=60s'], values)
    await eventually(
      'there is no worker',
      120_000,
      async () => (await site.replicas('reembed-worker'))?.current === 0,
    )
    await site.helm(['upgrade', '--wait', '--timeout=60s'], {
      ...values,
      producer: { ...site.values.producer, ...ENQUEUE },
    })
    const peak = await peakOf(site, 180_000)
    expect(peak).toBeGreaterThan(1)
    expect(cluster().kubelet.events.filter(({ what }) => what === 'SIGKILL')).toEqual([])
  }, 400_000)

  test('a Redis with a private authority and ACL users, in database 3, scales workers from zero', async () => {
    await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
    const folder = join(cluster().folder, 'redis')
    await mkdir(folder)
    await using redis = await startTlsRedis(folder)
    await using site = await openSite(cluster(), 'private-ca', { redis: redis.at(3) })
    await cluster().createSecret('private-ca', 'ca', { 'ca.crt': redis.authority })
    const values = {
      ...site.values,
      redis: { ...site.values.redis, database: 3 },
      ca: { existingSecret: 'ca' },
      endpoint: { url: tei.url },
      autoscaling: FAST,
      producer: { ...site.values.producer, job: { enabled: true } },
    }
    await site.helm(['install', '--wait', '--timeout=60s'], values)
    await eventually('KEDA reads Redis', 60_000, () => isScaledObjectReady(cluster(), site.namespace))
    expect(await peakOf(site, 120_000)).toBeGreaterThan(0)
  }, 300_000)

  describe('TEI in the cluster', () => {
    const tei = (revision: string, msPerToken = '0.5') => ({
      enabled: true,
      gpu: 'a10g',
      model: 'acme/model',
      revision,
      autoscaling: { cooldownPeriod: 10 },
      extraEnv: [
        { name: 'LOAD_SECONDS', value: '2' },
        { name: 'MS_PER_TOKEN', value: msPerToken },
      ],
    })
    const autoscaling = { ...FAST, maxReplicas: 2 }
    const name = (revision: string): string => `reembed-tei-${revision.slice(0, 8)}`

    test('TEI at zero wakes for the first plan, and returns to zero after the run', async () => {
      await using site = await openSite(cluster(), 'tei-zero', { documents: 400 })
      const values = { ...site.values, autoscaling, tei: tei(OLD) }
      await site.helm(['install', '--wait', '--timeout=60s'], values)
      await eventually('TEI is at zero', 90_000, async () => (await site.replicas(name(OLD)))?.current === 0)
      const producer = { ...site.values.producer, job: { enabled: true }, extraArgs: SMALL_SHARDS }
      await site.helm(['upgrade'], { ...values, producer })
      await site.published(240_000)
      await eventually('TEI is at zero', 120_000, async () => (await site.replicas(name(OLD)))?.current === 0)
      await eventually(
        'no worker runs',
        180_000,
        async () => (await site.replicas('reembed-worker'))?.current === 0,
      )
    }, 600_000)

    test('another tei.revision during a run ends with the new run current, no jobs and no TEI left', async () => {
      await using site = await openSite(cluster(), 'tei-change', { documents: 2_000 })
      const producer = { ...site.values.producer, job: { enabled: true }, extraArgs: SMALL_SHARDS }
      // The old run must not be finished when the revision changes.
      const values = { ...site.values, autoscaling, producer, tei: tei(OLD, '5') }
      await site.helm(['install'], values)
      await eventually('some shards are written', 180_000, () => site.shards() > 2)
      await site.helm(['upgrade'], { ...values, tei: tei(NEW) })
      await eventually('the new run is published', 300_000, async () => {
        const { stdout } = await site.reembed('ls')
        return new RegExp(`published .*@${NEW}`).test(stdout)
      })
      await site.published(60_000)
      const states = (await site.reembed('ls')).stdout
      expect(states).toMatch(new RegExp(`superseded .*@${OLD}`))
      expect(await site.replicas(name(OLD))).toBeNull()
      await eventually('TEI is at zero', 180_000, async () => (await site.replicas(name(NEW)))?.current === 0)
      // Jobs of the old run may be delayed: a worker takes each once more and finds it superseded.
      const redis = new Redis(site.redisUrl)
      await eventually('no job is left', 120_000, async () => {
        const keys = ['wait', 'ready', 'active', 'delayed'].map(state => `{reembed}:embed:${state}`)
        return (await redis.exists(keys)) === 0
      }).finally(() => redis.disconnect())
    }, 900_000)
  })
})
