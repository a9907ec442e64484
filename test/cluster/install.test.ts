// The chart on a real API server: every profile is accepted, and an installation lives through
// `--wait`, `helm test`, an upgrade and its removal.

import { createHashEngine, serveTei } from '@reembed/local'
import { expect, test } from 'vitest'
import { type Manifest, profiles, readManifests } from '../infra/parts/chart.ts'
import { noCluster } from './binaries.ts'
import { eventually } from './processes.ts'
import { openSite } from './site.ts'
import { describeOnCluster } from './suite.ts'

describeOnCluster('a cluster', { missing: noCluster }, cluster => {
  test.each(profiles)(
    'accepts profile %s under pod security restricted, without a warning',
    async profile => {
      const namespace = `profile-${profile}`
      await cluster().createNamespace(namespace)
      expect(await cluster().api.apply(await readManifests(profile), namespace)).toEqual([])
      await cluster().api.delete(`/api/v1/namespaces/${namespace}`)
    },
  )

  test('refuses a misspelt key, and a container that may run as root', async () => {
    await cluster().createNamespace('refused')
    const [deployment] = (await readManifests('minimal')).filter(
      ({ kind, metadata }) => kind === 'Deployment' && metadata.name.endsWith('-worker'),
    )
    const misspelt = structuredClone(deployment)
    misspelt.spec.template.spec.containers[0].livenessProb = {}
    await expect(cluster().api.apply([misspelt], 'refused')).rejects.toThrow(
      /livenessProb: field not declared in schema/,
    )
    const root = structuredClone(deployment)
    root.spec.template.spec.securityContext.runAsNonRoot = false
    expect(await cluster().api.apply([root], 'refused')).toEqual([expect.stringMatching(/runAsNonRoot/)])
  })

  test('install --wait, helm test, upgrade --atomic and uninstall end by themselves', async () => {
    await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
    await using site = await openSite(cluster(), 'life')
    const values = {
      ...site.values,
      endpoint: { url: tei.url },
      autoscaling: { mode: 'none' },
      worker: { replicas: 1 },
    }
    await site.helm(['install', '--wait', '--timeout=90s'], values)
    expect(await site.replicas('reembed-worker')).toEqual({ ready: 1, current: 1, desired: 1 })
    expect(await site.replicas('reembed-exporter')).toEqual({ ready: 1, current: 1, desired: 1 })

    const tested = await cluster().helm('life', 'test', 'reembed', '--timeout=90s')
    expect(tested.output).toMatch(/Phase: +Succeeded/)

    const producer = { ...site.values.producer, job: { enabled: true } }
    await site.helm(['upgrade', '--atomic', '--timeout=90s'], {
      ...values,
      producer,
      worker: { replicas: 2 },
    })
    expect(await site.replicas('reembed-worker')).toMatchObject({ desired: 2, ready: 2 })
    await site.published(60_000)

    expect((await cluster().helm('life', 'uninstall', 'reembed', '--wait')).code).toBe(0)
    await eventually('every pod is removed', 60_000, async () => {
      const { items } = await cluster().api.get('/api/v1/namespaces/life/pods')
      return items.every(
        ({ metadata }: Manifest) => metadata.labels['app.kubernetes.io/component'] === 'doctor',
      )
    })
    const log = await cluster().logs('life', /worker/)
    expect(log.trimEnd().split('\n').at(-1)).toMatch(/"reason":"received SIGTERM","msg":"worker stopped"/)
    expect(cluster().kubelet.events.filter(({ what }) => what === 'SIGKILL')).toEqual([])
  }, 300_000)

  test('install --atomic removes an installation that cannot work, and its log says why', async () => {
    await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
    await using site = await openSite(cluster(), 'broken', {
      redis: {
        url: 'redis://127.0.0.1:1',
        secret: {
          url: 'redis://127.0.0.1:1',
          address: '127.0.0.1:1',
          username: '',
          password: '',
          tls: 'disable',
        },
      },
    })
    const values = { ...site.values, endpoint: { url: tei.url }, autoscaling: { mode: 'none' } }
    const failed = cluster().helmChart('broken', ['install', '--atomic', '--timeout=20s'], values)
    expect(await failed).toMatchObject({ code: 1 })
    expect(await cluster().logs('broken', /worker/)).toMatch(/no Redis answers at \S*127\.0\.0\.1:1/)
    expect(await site.replicas('reembed-worker')).toBeNull()
  }, 120_000)
})
