// KEDA and the HPA as far as a ScaledObject of ours goes: what they read, what they make of it.
// Sources: KEDA's documentation (scaling-deployments, redis-lists) and Kubernetes'
// (horizontal-pod-autoscale: algorithm details).

import type { Redis } from 'ioredis'
import type { Manifest } from './chart.ts'

/**
 * What KEDA's redis scaler has a Redis do for each trigger (pkg/scalers/redis_scaler.go, the same
 * in 2.20.0 to 8b4f083 of August 2026): the number of elements of a sorted set, set, hash or list,
 * 0 for no key, an error for any other type.
 */
const SIZE = `
  local sizes = { zset = 'zcard', set = 'scard', hash = 'hlen', list = 'llen', none = 'llen' }
  local kind = redis.call('type', KEYS[1]).ok
  if sizes[kind] then return redis.call(sizes[kind], KEYS[1]) end
  return redis.error_reply('ERR unsupported key type: ' .. kind)
`

/** What a trigger on this key reads. */
export const sizeOf = async (redis: Redis, key: string): Promise<number> =>
  Number(await redis.eval(SIZE, 1, key))

export type Counts = Readonly<Record<string, number>>

/** What the triggers of a ScaledObject read, by their names. */
export async function readTriggers(redis: Redis, { spec }: Manifest): Promise<Counts> {
  const counts: Record<string, number> = {}
  for (const { name, metadata } of spec.triggers) counts[name] = await sizeOf(redis, metadata.listName)
  return counts
}

/**
 * The value of the formula: KEDA's expression language writes sums and conditions as JavaScript
 * does.
 */
export function formulaOf({ spec }: Manifest): (counts: Counts) => number {
  const names = spec.triggers.map(({ name }: Manifest) => name)
  const { formula } = spec.advanced.scalingModifiers
  if (!/^[\w\s+*/()?:>0-9-]+$/.test(formula)) throw new Error(`not a plain formula: ${formula}`)
  const value = new Function(...names, `return ${formula}`)
  return counts => value(...names.map((name: string) => counts[name]))
}

export interface Autoscaler {
  /** Replicas wanted at this moment, in seconds of a clock that only goes forward. */
  replicas(nowS: number, value: number, current: number): number
}

const HPA_SYNC_S = 15
const TOLERANCE = 0.1

/** KEDA between 0 and 1, the HPA from 1 to the maximum, as the ScaledObject says. */
export function createAutoscaler({ spec }: Manifest): Autoscaler {
  const { target, activationTarget } = spec.advanced.scalingModifiers
  const { scaleUp, scaleDown } = spec.advanced.horizontalPodAutoscalerConfig.behavior
  const recommended: { atS: number; replicas: number }[] = []
  const past: { atS: number; replicas: number }[] = []
  let lastActiveS = Number.NEGATIVE_INFINITY
  let polledS = Number.NEGATIVE_INFINITY
  let syncedS = Number.NEGATIVE_INFINITY

  /** Replicas at the start of a policy's period. */
  const before = (nowS: number, periodS: number, current: number): number =>
    past.findLast(({ atS }) => atS <= nowS - periodS)?.replicas ?? past[0]?.replicas ?? current

  function hpa(nowS: number, value: number, current: number): number {
    const perPod = value / current / Number(target)
    const raw = Math.abs(perPod - 1) <= TOLERANCE ? current : Math.ceil(value / Number(target))
    const wanted = Math.min(spec.maxReplicaCount, Math.max(1, raw))
    recommended.push({ atS: nowS, replicas: wanted })
    while ((recommended[0]?.atS ?? nowS) < nowS - scaleDown.stabilizationWindowSeconds) recommended.shift()
    if (wanted > current) {
      const limits = scaleUp.policies.map(({ type, value: by, periodSeconds }: Manifest) => {
        const start = before(nowS, periodSeconds, current)
        return type === 'Pods' ? start + by : Math.ceil(start * (1 + by / 100))
      })
      return Math.min(wanted, Math.max(current, ...limits))
    }
    const stable = Math.max(...recommended.map(({ replicas }) => replicas))
    const limits = scaleDown.policies.map(({ type, value: by, periodSeconds }: Manifest) => {
      const start = before(nowS, periodSeconds, current)
      return type === 'Pods' ? start - by : Math.floor(start * (1 - by / 100))
    })
    return Math.min(current, spec.maxReplicaCount, Math.max(stable, 1, ...limits))
  }

  return {
    replicas(nowS, value, current) {
      let wanted = current
      if (nowS - polledS >= spec.pollingInterval) {
        polledS = nowS
        const active = value > Number(activationTarget)
        if (active) lastActiveS = nowS
        if (active && current === 0) wanted = 1
        if (!active && current > 0 && nowS - lastActiveS >= spec.cooldownPeriod) wanted = 0
      }
      if (wanted > 0 && current > 0 && nowS - syncedS >= HPA_SYNC_S) {
        syncedS = nowS
        wanted = hpa(nowS, value, current)
      }
      past.push({ atS: nowS, replicas: wanted })
      return wanted
    },
  }
}
