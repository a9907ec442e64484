// The replicas of one endpoint: which exist now, and which are slow or failing. The pool of each
// run decides which of them the run may use, since a replica may have the model of one run and not
// that of another.

import { type Clock, systemClock } from '@reembed/shared'
import { createBalancer } from './balancer.ts'
import type { Endpoint } from './endpoint.ts'
import type { ReplicaEvent } from './replica-event.ts'
import { createReplicaPool, type ReplicaPool } from './replica-pool.ts'
import { createReplicatedEndpoint } from './replicated-endpoint.ts'
import type { EndpointTarget, EndpointTargets } from './targets.ts'

export interface ReplicasOptions {
  readonly open: (target: EndpointTarget, truncate: boolean, signal: AbortSignal) => Promise<Endpoint>
  readonly onEvent?: ((event: ReplicaEvent) => void) | undefined
  readonly clock?: Clock
  readonly random?: () => number
}

type Verify<Proof> = (one: Endpoint, target: EndpointTarget, signal: AbortSignal) => Promise<Proof>

/**
 * - `in_use`: it answers, with the right model.
 * - `ejected`: slow or failing; retried automatically.
 * - `quarantined`: serves another model, or is not an endpoint.
 * - `unreachable`: not opened yet, or cannot be opened.
 */
export const REPLICA_STATES = ['in_use', 'ejected', 'quarantined', 'unreachable'] as const

/** A replica is in one state: an ejected replica does not count as in use. */
export interface ReplicaStatus {
  readonly replica: string
  readonly state: (typeof REPLICA_STATES)[number]
  /** Why it is not in use. */
  readonly reason?: string | undefined
}

export interface Replicas extends AsyncDisposable {
  readonly all: readonly ReplicaStatus[]
  /**
   * The replicas that `verify` accepts, as one endpoint for a run. Resolves when the first one is
   * verified.
   * @throws ReembedError MODEL_MISMATCH when all have another model; else the failure of a replica
   */
  serve<Proof>(
    run: string,
    truncate: boolean,
    verify: Verify<Proof>,
  ): Promise<{ readonly endpoint: Endpoint; readonly proof: Proof }>
}

/** Interval at which names are resolved, and due replicas are opened and verified. */
const REFRESH_MS = 5_000
/**
 * A failing replica may have been removed, so a failure refreshes at once, but not more often than
 * this.
 */
const MIN_REFRESH_MS = 1_000
/** Runs with an open pool; the least recently used one is closed. */
const KEPT_RUNS = 8

export function createReplicas(
  addresses: EndpointTargets,
  { open, onEvent, clock = systemClock, random = Math.random }: ReplicasOptions,
): Replicas {
  const balancer = createBalancer<EndpointTarget>({
    now: clock.now,
    random,
    onEjected: ({ label }, ms) =>
      onEvent?.({
        kind: 'ejected',
        replica: label,
        reason: `slow or failing, retried in ${ms / 1000} s`,
      }),
  })
  const targets = new Map<string, EndpointTarget>()
  const runs = new Map<string, { readonly pool: ReplicaPool<unknown>; readonly endpoint: Endpoint }>()
  const closed = new AbortController()
  let refreshing: Promise<void> | undefined
  let refreshedMs = Number.NEGATIVE_INFINITY
  let refreshLoopEnded: Promise<void> | undefined

  /** @throws ReembedError while no replica is known. */
  function refresh(): Promise<void> {
    refreshing ??= update().finally(() => {
      refreshing = undefined
      refreshedMs = clock.now()
      for (const { pool } of runs.values()) pool.reconcile()
    })
    return refreshing
  }

  async function update(): Promise<void> {
    const found = new Map((await addresses.resolve()).map(target => [target.label, target]))
    for (const [label, target] of targets) {
      if (found.has(label)) continue
      targets.delete(label)
      balancer.remove(target)
      onEvent?.({ kind: 'removed', replica: label })
    }
    for (const [label, target] of found) {
      if (targets.has(label)) continue
      targets.set(label, target)
      balancer.add(target)
      onEvent?.({ kind: 'added', replica: label })
    }
  }

  async function refreshLoop(): Promise<void> {
    while (!closed.signal.aborted) {
      await clock.sleep(REFRESH_MS * (0.9 + 0.2 * random()), closed.signal).catch(() => {})
      if (!closed.signal.aborted) await refresh().catch(() => {})
    }
  }

  const onReplicaFailed = (): void => {
    if (clock.now() - refreshedMs > MIN_REFRESH_MS) refresh().catch(() => {})
  }

  function serve<Proof>(
    truncate: boolean,
    verify: Verify<Proof>,
  ): { pool: ReplicaPool<Proof>; endpoint: Endpoint } {
    const pool = createReplicaPool<Proof>({
      targets: () => [...targets.values()],
      open: (target, signal) => open(target, truncate, signal),
      verify,
      onEvent,
      clock,
    })
    return {
      pool,
      endpoint: createReplicatedEndpoint({
        url: addresses.name,
        pool,
        balancer,
        onReplicaFailed,
      }),
    }
  }

  return {
    get all() {
      const newest = [...runs.values()].at(-1)?.pool
      return Array.from(targets.values(), (target): ReplicaStatus => {
        const [replica, state] = [target.label, newest?.stateOf(target) ?? 'unreachable']
        if (state !== 'in_use') return { replica, state, reason: newest?.reasonOf(target) }
        const isEjected = balancer.ejected.includes(target)
        return isEjected ? { replica, state: 'ejected', reason: 'slow or failing' } : { replica, state }
      })
    },
    async serve<Proof>(run: string, truncate: boolean, verify: Verify<Proof>) {
      const known = runs.get(run) as { pool: ReplicaPool<Proof>; endpoint: Endpoint } | undefined
      const serving = known ?? serve(truncate, verify)
      runs.delete(run)
      runs.set(run, serving)
      const [oldest] = runs
      if (runs.size > KEPT_RUNS && oldest !== undefined) {
        runs.delete(oldest[0])
        void oldest[1].pool[Symbol.asyncDispose]()
      }
      refreshLoopEnded ??= refreshLoop()
      if (targets.size === 0) await refresh()
      return { endpoint: serving.endpoint, proof: await serving.pool.ready() }
    },
    async [Symbol.asyncDispose]() {
      closed.abort(new Error('the endpoint is closed'))
      await refreshLoopEnded
      await refreshing?.catch(() => {})
      await Promise.all([...runs.values()].map(({ pool }) => pool[Symbol.asyncDispose]()))
    },
  }
}
