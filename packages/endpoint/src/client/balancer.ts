// Which replica gets the next request: of two chosen at random the one with less to wait for, that is inputs in
// flight times the time that replies take. Two random choices need no knowledge of what other workers send, and
// never send a whole fleet to the one replica that looks best.
//
//   in use ──5 failures in a row──> ejected ──10 s, 20 s … 60 s──> tried again ──1 failure──> ejected
//                                                                      └──a reply──> in use

export interface Assignment<Replica> {
  readonly replica: Replica
  /** Only the first call counts. */
  end(how: 'answered' | 'failed' | 'neutral'): void
}

export interface Balancer<Replica> {
  /** All that are known, those ejected included. */
  readonly replicas: readonly Replica[]
  readonly ejected: readonly Replica[]
  add(replica: Replica): void
  remove(replica: Replica): void
  /** One of those that `may` get it; of those ejected only when no other may. */
  assign(inputs: number, isEligible?: (replica: Replica) => boolean): Assignment<Replica> | undefined
  /** Whether its last request was answered, or nothing is known against it. */
  isHealthy(replica: Replica): boolean
}

export interface BalancerOptions<Replica> {
  /** Milliseconds; never goes back. */
  readonly now: () => number
  readonly random: () => number
  readonly onEjected?: ((replica: Replica, ms: number) => void) | undefined
}

/** Replies older than this count for a third. */
const MEMORY_MS = 1_000
/** How fast it is forgotten that a replica was slow: else nobody might ask again, and it would never be known better. */
const FORGET_MS = 3_000
const FAILURES = 5
const EJECTED_MS = 10_000
const LONGEST_MS = 60_000
/** Replies this many times slower than those of the others, and slower than a second, count as failures. */
const SLOW = 8
const SLOW_MS = 1_000
/** After so many replies in a row, an ejection is forgotten. */
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
    // A request that is out for longer than replies take says more than they do: the replica may have stalled.
    return (stats.inFlight + inputs) * Math.max(replyMs, now() - oldest)
  }

  /** What replies of the other replicas take: a new one is taken for one of them. */
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
    // A replica that fails at once must not look quick.
    stats.replyMs = Math.max(stats.replyMs ?? 0, 2 * (usual(stats) ?? 0))
    stats.repliedAt = now()
    miss(stats)
  }

  function miss(stats: ReplicaStats<Replica>): void {
    stats.answeredInARow = 0
    stats.failedInARow++
    const enough = stats.ejections > 0 ? 1 : FAILURES
    if (stats.failedInARow < enough || isEjected(stats)) return
    // When most fail, it is not the replicas: half of them stay in use.
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
