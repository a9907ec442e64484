// The replicas that a run may use.
//
//   new ──opened, model verified──> in use ──a reply with other weights──> quarantined ──30 s──> new
//    └──cannot be opened──> unreachable ──5 s──> new

import { type Clock, messageOf, ReembedError } from '@reembed/shared'
import type { Endpoint } from './endpoint.ts'
import { type Failure, MODEL_RECHECK_MS, toError } from './outcome.ts'
import type { ReplicaEvent } from './replica-event.ts'
import type { EndpointTarget } from './targets.ts'

export type ReplicaState = 'in_use' | 'quarantined' | 'unreachable'

export interface ReplicaPoolOptions<Proof> {
  readonly targets: () => readonly EndpointTarget[]
  readonly open: (target: EndpointTarget, signal: AbortSignal) => Promise<Endpoint>
  readonly verify: (one: Endpoint, target: EndpointTarget, signal: AbortSignal) => Promise<Proof>
  readonly onEvent?: ((event: ReplicaEvent) => void) | undefined
  readonly clock: Clock
}

export interface ReplicaPool<Proof> extends AsyncDisposable {
  /** Endpoints of the replicas in use. */
  readonly endpoints: readonly Endpoint[]
  readonly inUse: readonly EndpointTarget[]
  stateOf(target: EndpointTarget): ReplicaState
  /** Why a replica is, or was last, not in use. */
  reasonOf(target: EndpointTarget): string | undefined
  /** Opens and verifies replicas that are new or due for a retry, and closes removed ones. */
  reconcile(): void
  /**
   * Resolves with the proof of the first verified replica. @throws ReembedError when none can be
   * verified.
   */
  ready(): Promise<Proof>
  /** Calls `send` with the replica's endpoint, which stays open until `send` ends. */
  borrow<T>(target: EndpointTarget, send: (endpoint: Endpoint) => Promise<T>): Promise<T>
  /** Takes a replica out of use until it is opened and verified again. */
  quarantine(target: EndpointTarget, failure: Failure): void
  /** The failure of a request while no replica is in use. */
  noReplicaFailure(): Failure
}

const UNREACHABLE_MS = 5_000

interface PooledReplica<Proof> {
  state: ReplicaState
  /** Open; a replica that leaves keeps it until its last request ends. */
  endpoint: Endpoint | undefined
  /** Settles when the replica is verified or fails. */
  proof: Promise<Proof>
  entering: boolean
  /** Why it is not in use, and when it is opened again. */
  failure: Failure | undefined
  againMs: number
  borrowed: number
}

export function createReplicaPool<Proof>({
  targets,
  open,
  verify,
  onEvent,
  clock,
}: ReplicaPoolOptions<Proof>): ReplicaPool<Proof> {
  const replicas = new Map<EndpointTarget, PooledReplica<Proof>>()
  const ended = new AbortController()

  function reconcile(): void {
    if (ended.signal.aborted) return
    const there = new Set(targets())
    for (const [target, replica] of replicas) {
      if (there.has(target)) continue
      replicas.delete(target)
      void closeWhenIdle(replica)
    }
    for (const target of there) {
      const replica = replicas.get(target)
      const isDue =
        replica?.state !== 'in_use' && !replica?.entering && (replica?.againMs ?? 0) <= clock.now()
      if (isDue) admit(target, replica)
    }
  }

  function admit(target: EndpointTarget, before: PooledReplica<Proof> | undefined): void {
    const replica: PooledReplica<Proof> = {
      state: before?.state ?? 'unreachable',
      endpoint: undefined,
      proof: openAndVerify(),
      entering: true,
      failure: before?.failure,
      againMs: 0,
      borrowed: 0,
    }
    replicas.set(target, replica)
    replica.proof.catch(() => {})

    async function openAndVerify(): Promise<Proof> {
      let endpoint: Endpoint | undefined
      try {
        endpoint = await open(target, ended.signal)
        const proof = await verify(endpoint, target, ended.signal)
        if (replicas.get(target) !== replica) throw gone(target)
        Object.assign(replica, { endpoint, state: 'in_use' satisfies ReplicaState, entering: false })
        onEvent?.({ kind: 'in_use', replica: target.label })
        return proof
      } catch (error) {
        await endpoint?.[Symbol.asyncDispose]()
        takeOutOfUse(target, replica, {
          kind: isMismatch(error) ? 'wrong_model' : 'down',
          message: messageOf(error),
        })
        throw error
      }
    }
  }

  function takeOutOfUse(target: EndpointTarget, replica: PooledReplica<Proof>, failure: Failure): void {
    const state = failure.kind === 'down' ? 'unreachable' : 'quarantined'
    const isNews = replica.state !== state || replica.failure === undefined
    const againMs = clock.now() + (state === 'quarantined' ? MODEL_RECHECK_MS : UNREACHABLE_MS)
    Object.assign(replica, { state, failure, againMs, entering: false })
    if (isNews && replicas.get(target) === replica)
      onEvent?.({ kind: state, replica: target.label, reason: failure.message })
    void closeWhenIdle(replica)
  }

  /** Requests in flight may still succeed, so the last one closes the endpoint. */
  async function closeWhenIdle(replica: PooledReplica<Proof>): Promise<void> {
    const { endpoint } = replica
    if (endpoint === undefined || replica.borrowed > 0) return
    replica.endpoint = undefined
    await endpoint[Symbol.asyncDispose]()
  }

  const using = (): (readonly [EndpointTarget, PooledReplica<Proof>])[] =>
    [...replicas].filter(([, { state }]) => state === 'in_use')

  return {
    get endpoints() {
      return using().flatMap(([, { endpoint }]) => endpoint ?? [])
    },
    get inUse() {
      return using().map(([target]) => target)
    },
    stateOf: target => replicas.get(target)?.state ?? 'unreachable',
    reasonOf: target => replicas.get(target)?.failure?.message,
    reconcile,
    ready() {
      reconcile()
      return anyOf([...replicas.values()].map(({ proof }) => proof))
    },
    async borrow(target, send) {
      const replica = replicas.get(target)
      if (replica?.endpoint === undefined) throw gone(target)
      replica.borrowed++
      try {
        return await send(replica.endpoint)
      } finally {
        replica.borrowed--
        if (replica.state !== 'in_use' || replicas.get(target) !== replica) void closeWhenIdle(replica)
      }
    },
    quarantine(target, failure) {
      const replica = replicas.get(target)
      if (replica?.state !== 'in_use') return
      replica.proof = Promise.reject(toError(failure, target.label))
      replica.proof.catch(() => {})
      takeOutOfUse(target, replica, failure)
    },
    noReplicaFailure() {
      const all = [...replicas.values()]
      const [first] = all.flatMap(({ failure }) => failure ?? [])
      if (first && all.every(({ state }) => state === 'quarantined')) return first
      return { kind: 'down', message: `no replica is usable: ${first?.message ?? 'none is known'}` }
    },
    async [Symbol.asyncDispose]() {
      ended.abort(new Error('the endpoint is closed'))
      const all = [...replicas.values()]
      replicas.clear()
      await Promise.allSettled(all.map(({ proof }) => proof))
      await Promise.all(all.map(({ endpoint }) => endpoint?.[Symbol.asyncDispose]()))
    },
  }
}

/**
 * The first proof. When none succeeds, a model mismatch only if all replicas have one: an
 * unreachable replica may have the right model.
 */
async function anyOf<Proof>(proofs: readonly Promise<Proof>[]): Promise<Proof> {
  const settled = await Promise.any(proofs).then(
    proof => ({ proof }),
    ({ errors }: AggregateError) => ({ errors }),
  )
  if ('proof' in settled) return settled.proof
  throw settled.errors.find(error => !isMismatch(error)) ?? settled.errors[0]
}

const isMismatch = (error: unknown): boolean =>
  error instanceof ReembedError && error.code === 'MODEL_MISMATCH'
const gone = ({ label }: EndpointTarget): ReembedError =>
  new ReembedError('ENDPOINT_UNREACHABLE', `the replica ${label} was removed`, { retry: 'requeue' })
