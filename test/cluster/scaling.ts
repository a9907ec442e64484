// What the tests of KEDA share: short intervals, and how a fleet grows and shrinks.

import type { Manifest } from '../infra/parts/chart.ts'
import type { Cluster } from './cluster.ts'
import { eventually } from './processes.ts'
import type { Site } from './site.ts'

/** KEDA with short intervals. Formula, target and the policies of the HPA are the chart's own. */
export const FAST: Manifest = {
  maxReplicas: 4,
  keda: { pollingInterval: 5, cooldownPeriod: 60, initialCooldownPeriod: 0 },
}

/**
 * Waits until the run is published, then until no worker is left.
 * @returns the largest number of workers until the run was published
 */
export async function peakOf(site: Site, timeoutMs: number): Promise<number> {
  let peak = 0
  const published = site.published(timeoutMs)
  const state = { ended: false }
  const end = (): unknown => Object.assign(state, { ended: true })
  published.then(end, end)
  await eventually('the run ends', timeoutMs, async () => {
    peak = Math.max(peak, (await site.replicas('reembed-worker'))?.current ?? 0)
    return state.ended
  })
  await published
  await eventually(
    'no worker is left',
    180_000,
    async () => (await site.replicas('reembed-worker'))?.current === 0,
  )
  return peak
}

/** Whether KEDA has built the triggers of the workers' ScaledObject and can read them. */
export async function isScaledObjectReady({ api }: Cluster, namespace: string): Promise<boolean> {
  const path = `/apis/keda.sh/v1alpha1/namespaces/${namespace}/scaledobjects/reembed-worker`
  const { status } = await api.get(path)
  return status.conditions.some((one: Manifest) => one.type === 'Ready' && one.status === 'True')
}
