// Wrong settings and changing models on a real cluster: no job fails for what is wrong with a
// worker, and the run continues by itself once the setting is right.

import { startFakeTei } from '@reembed/testing'
import { Redis } from 'ioredis'
import { expect, test } from 'vitest'
import type { Manifest } from '../infra/parts/chart.ts'
import { noCluster } from './binaries.ts'
import { eventually } from './processes.ts'
import { openSite, type Site } from './site.ts'
import { describeOnCluster } from './suite.ts'

const OLD = 'a'.repeat(40)
const NEW = 'b'.repeat(40)
const FIXED = { autoscaling: { mode: 'none' }, worker: { replicas: 2, concurrency: 2 } }
const SMALL_SHARDS = ['--documents-per-shard=50']

describeOnCluster('faults', { missing: noCluster }, cluster => {
  const failedJobs = async (site: Site): Promise<number> => {
    const redis = new Redis(site.redisUrl)
    try {
      return await redis.zcard('{reembed}:embed:failed')
    } finally {
      redis.disconnect()
    }
  }
  /** Installs the chart with an enqueue Job and no worker; resolves when its jobs wait. */
  const installQueued = async (site: Site, values: Manifest): Promise<void> => {
    const producer = { ...site.values.producer, job: { enabled: true }, extraArgs: SMALL_SHARDS }
    await site.helm(['install', '--wait', '--timeout=60s'], { ...values, producer, worker: { replicas: 0 } })
    await eventually('the jobs are queued', 120_000, async () => {
      const { stdout } = await site.reembed('status', '--json')
      return JSON.parse(stdout).queue?.jobs.waiting > 0
    }).catch(async error => {
      throw new Error(await cluster().logs(site.namespace, /enqueue/), { cause: error })
    })
  }
  const unready = (site: Site): Promise<unknown> =>
    eventually('no worker is ready', 60_000, async () => (await site.replicas('reembed-worker'))?.ready === 0)

  test('a worker with another revision than its endpoint fails no job, and the right one finishes the run', async () => {
    await using tei = await startFakeTei({ dimensions: 16, msPerToken: 0.2, sha: OLD })
    await using site = await openSite(cluster(), 'revision', { documents: 1_000 })
    const endpoint = { url: tei.url, revision: OLD }
    const values = { ...site.values, ...FIXED, endpoint }
    await installQueued(site, values)
    await site.helm(['upgrade'], { ...values, endpoint: { ...endpoint, revision: NEW } })
    await unready(site)
    expect(await failedJobs(site)).toBe(0)
    await site.helm(['upgrade'], values)
    await site.published(120_000)
    expect(await failedJobs(site)).toBe(0)
  }, 400_000)

  test('a wrong S3 key makes the workers unready, they exit after giveUpMinutes, and no job fails', async () => {
    await using tei = await startFakeTei({ dimensions: 16, msPerToken: 0.2 })
    await using site = await openSite(cluster(), 's3-key', { documents: 1_000 })
    const values = { ...site.values, ...FIXED, endpoint: { url: tei.url } }
    await installQueued(site, values)
    await cluster().createSecret('s3-key', 'wrong', {
      AWS_ACCESS_KEY_ID: 'test-key',
      AWS_SECRET_ACCESS_KEY: 'wrong',
    })
    const s3 = { ...values.s3, existingSecret: 'wrong' }
    const worker = { ...FIXED.worker, giveUpMinutes: 0.1 }
    await site.helm(['upgrade'], { ...values, s3, worker, exporter: { enabled: false } })
    await unready(site)
    await eventually('a worker gives up', 60_000, () =>
      cluster().kubelet.events.some(
        ({ namespace, what }) => namespace === 's3-key' && /^exited with [1-9]/.test(what),
      ),
    )
    expect(await failedJobs(site)).toBe(0)
    await site.helm(['upgrade'], values)
    await site.published(120_000)
    expect(await failedJobs(site)).toBe(0)
  }, 400_000)

  test('an endpoint that serves another model for a while fails no job', async () => {
    await using tei = await startFakeTei({ dimensions: 16, msPerToken: 0.5, sha: OLD })
    await using site = await openSite(cluster(), 'swapped', { documents: 2_000 })
    const producer = { ...site.values.producer, job: { enabled: true }, extraArgs: SMALL_SHARDS }
    await site.helm(['install'], { ...site.values, ...FIXED, endpoint: { url: tei.url }, producer })
    await eventually('some shards are written', 60_000, () => site.shards() > 2)
    await tei.stop()
    await tei.start({ sha: NEW })
    const before = cluster().kubelet.events.length
    await eventually(
      'a worker reports the model',
      60_000,
      async () => /model/i.test(await cluster().logs('swapped', /worker/)) && before > 0,
    )
    expect(await failedJobs(site)).toBe(0)
    await tei.stop()
    await tei.start({ sha: OLD })
    await site.published(180_000)
    expect(await failedJobs(site)).toBe(0)
  }, 400_000)
})
