// Chooses the replica of the next request by "power of two choices": of two random replicas the one
// with the lower cost, which is inputs in flight times reply time. It needs no knowledge of what
// other workers send, and a fleet does not converge on the one replica that seems fastest.
//
//   in use ──5 consecutive failures──> ejected ──10 s, 20 s … 60 s──> retried ──1 failure──> ejected
//                                                                        └──a reply──> in use

export interface Assignment<Replica> {
  readonly replica: Replica
  /** Only the first call has an effect. */
  end(how: 'answered' | 'failed' | 'neutral'): void
}

export interface Balancer<Replica> {
  /** All replicas, ejected ones included. */
  readonly replicas: readonly Replica[]
  readonly ejected: readonly Replica[]
  add(replica: Replica): void
  remove(replica: Replica): void
  /**
   * Chooses among the eligible replicas; an ejected one only when all eligible ones are ejected.
   */
  assign(inputs: number, isEligible?: (replica: Replica) => boolean): Assignment<Replica> | undefined
  /** Whether its last request was answered, or none was sent yet, and it is not ejected. */
  isHealthy(replica: Replica): boolean
}

export interface BalancerOptions<Replica> {
  /** Monotonic time in milliseconds. */
  readonly now: () => number
  readonly random: () => number
  readonly onEjected?: ((replica: Replica, ms: number) => void) | undefined
}

/** Time constant of the moving average of reply times: older replies count for a third. */
const MEMORY_MS = 1_000
/**
 * Time constant at which an idle replica's cost decays: otherwise a slow replica gets no request
 * and stays "slow".
 */
const FORGET_MS = 3_000
const FAILURES = 5
const EJECTED_MS = 10_000
const LONGEST_MS = 60_000
/**
 * Replies this many times slower than the median of the other replicas, and slower than a second,
 * count as failures.
 */
const SLOW = 8
const SLOW_MS = 1_000
/** Consecutive replies after which earlier ejections no longer count. */
const CLEAN = 100

interface ReplicaStats<Replica> {
  readonly replica: Replica
  inFlight: number
  /** When each request in flight was sent, oldest first. */
  readonly sent: Map<object, number>
  replyMs: number | undefined
  repliedAt: number
  failedInARow: number
  answeredInARow: number
  ejections: number
  ejectedUntil: number
}

export function createBalancer<Replica>({
  now,
  random,
  onEjected,
}: BalancerOptions<Replica>): Balancer<Replica> {
  const entries: ReplicaStats<Replica>[] = []
  const isEjected = ({ ejectedUntil }: ReplicaStats<Replica>): boolean => ejectedUntil > now()

  function assign(
    inputs: number,
    isEligible: (replica: Replica) => boolean = () => true,
  ): Assignment<Replica> | undefined {
    const allowed = entries.filter(({ replica }) => isEligible(replica))
    const open = allowed.filter(stats => !isEjected(stats))
    const [first, second] = two(open.length > 0 ? open : allowed)
    if (first === undefined) return undefined
    const stats = second && costOf(second, inputs) < costOf(first, inputs) ? second : first
    const mark = {}
    const sentAt = now()
    stats.inFlight += inputs
    stats.sent.set(mark, sentAt)
    return {
      replica: stats.replica,
      end(how) {
        if (!stats.sent.delete(mark)) return
        stats.inFlight -= inputs
        if (how === 'answered') answered(stats, now() - sentAt)
        else if (how === 'failed') failed(stats)
      },
    }
  }

  function two(from: readonly ReplicaStats<Replica>[]): readonly (ReplicaStats<Replica> | undefined)[] {
    const i = Math.floor(random() * from.length)
    const j = Math.floor(random() * (from.length - 1))
    return from.length < 2 ? [from[0]] : [from[i], from[j < i ? j : j + 1]]
  }

  function costOf(stats: ReplicaStats<Replica>, inputs: number): number {
    const [oldest] = stats.sent.values()
    const replyMs = stats.replyMs ?? usual(stats) ?? 1
    if (oldest === undefined) return inputs * replyMs * Math.exp((stats.repliedAt - now()) / FORGET_MS)
    // A pending request older than the average reply time shows a stalled replica before any reply
    // does.
    return (stats.inFlight + inputs) * Math.max(replyMs, now() - oldest)
  }

  /** Median reply time of the other replicas; the assumption for a replica without replies. */
  function usual(but: ReplicaStats<Replica>): number | undefined {
    const known = entries.flatMap(({ replyMs, replica }) =>
      replyMs === undefined || replica === but.replica ? [] : [replyMs],
    )
    return known.sort((a, b) => a - b)[known.length >> 1]
  }

  function answered(stats: ReplicaStats<Replica>, ms: number): void {
    const weight = 1 - Math.exp(-(now() - stats.repliedAt) / MEMORY_MS)
    stats.replyMs = stats.replyMs === undefined ? ms : stats.replyMs + weight * (ms - stats.replyMs)
    stats.repliedAt = now()
    const others = usual(stats)
    if (others !== undefined && ms > Math.max(SLOW * others, SLOW_MS)) {
      miss(stats)
      return
    }
    stats.failedInARow = 0
    if (++stats.answeredInARow >= CLEAN) stats.ejections = 0
  }

  function failed(stats: ReplicaStats<Replica>): void {
    // A replica that fails immediately must not get a low cost.
    stats.replyMs = Math.max(stats.replyMs ?? 0, 2 * (usual(stats) ?? 0))
    stats.repliedAt = now()
    miss(stats)
  }

  function miss(stats: ReplicaStats<Replica>): void {
    stats.answeredInARow = 0
    stats.failedInARow++
    const enough = stats.ejections > 0 ? 1 : FAILURES
    if (stats.failedInARow < enough || isEjected(stats)) return
    // When most replicas fail, the cause is elsewhere: at most half are ejected.
    if (2 * (entries.filter(isEjected).length + 1) > entries.length) return
    stats.ejections++
    const ms = Math.min(LONGEST_MS, EJECTED_MS * stats.ejections)
    stats.ejectedUntil = now() + ms
    stats.failedInARow = 0
    onEjected?.(stats.replica, ms)
  }

  return {
    get replicas() {
      return entries.map(({ replica }) => replica)
    },
    get ejected() {
      return entries.filter(isEjected).map(({ replica }) => replica)
    },
    add(replica) {
      entries.push({
        replica,
        inFlight: 0,
        sent: new Map(),
        replyMs: undefined,
        repliedAt: now(),
        failedInARow: 0,
        answeredInARow: 0,
        ejections: 0,
        ejectedUntil: Number.NEGATIVE_INFINITY,
      })
    },
    remove(replica) {
      const place = entries.findIndex(stats => stats.replica === replica)
      if (place >= 0) entries.splice(place, 1)
    },
    assign,
    isHealthy(replica) {
      const stats = entries.find(one => one.replica === replica)
      return stats !== undefined && stats.failedInARow === 0 && !isEjected(stats)
    },
  }
}
