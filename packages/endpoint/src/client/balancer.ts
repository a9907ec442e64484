// Which replica gets the next request: of two chosen at random the one with less to wait for, that is inputs in
// flight times the time that replies take. Two random choices need no knowledge of what other workers send, and
// never send a whole fleet to the one replica that looks best.
//
//   in use ──5 failures in a row──> ejected ──10 s, 20 s … 60 s──> tried again ──1 failure──> ejected
//                                                                      └──a reply──> in use

export interface Turn<Replica> {
  readonly replica: Replica
  /** Only the first call counts. */
  ended(how: 'answered' | 'failed' | 'neither'): void
}

export interface Balancer<Replica> {
  /** All that are known, those ejected included. */
  readonly replicas: readonly Replica[]
  readonly ejected: readonly Replica[]
  add(replica: Replica): void
  remove(replica: Replica): void
  /** One of those that `may` get it; of those ejected only when no other may. */
  next(inputs: number, may?: (replica: Replica) => boolean): Turn<Replica> | undefined
  /** Whether its last request was answered, or nothing is known against it. */
  isWell(replica: Replica): boolean
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

interface Seat<Replica> {
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
  const seats: Seat<Replica>[] = []
  const isEjected = ({ ejectedUntil }: Seat<Replica>): boolean => ejectedUntil > now()

  function next(inputs: number, may: (replica: Replica) => boolean = () => true): Turn<Replica> | undefined {
    const allowed = seats.filter(({ replica }) => may(replica))
    const open = allowed.filter(seat => !isEjected(seat))
    const [first, second] = two(open.length > 0 ? open : allowed)
    if (first === undefined) return undefined
    const seat = second && costOf(second, inputs) < costOf(first, inputs) ? second : first
    const mark = {}
    const sentAt = now()
    seat.inFlight += inputs
    seat.sent.set(mark, sentAt)
    return {
      replica: seat.replica,
      ended(how) {
        if (!seat.sent.delete(mark)) return
        seat.inFlight -= inputs
        if (how === 'answered') answered(seat, now() - sentAt)
        else if (how === 'failed') failed(seat)
      },
    }
  }

  function two(from: readonly Seat<Replica>[]): readonly (Seat<Replica> | undefined)[] {
    const i = Math.floor(random() * from.length)
    const j = Math.floor(random() * (from.length - 1))
    return from.length < 2 ? [from[0]] : [from[i], from[j < i ? j : j + 1]]
  }

  function costOf(seat: Seat<Replica>, inputs: number): number {
    const [oldest] = seat.sent.values()
    const replyMs = seat.replyMs ?? usual(seat) ?? 1
    if (oldest === undefined) return inputs * replyMs * Math.exp((seat.repliedAt - now()) / FORGET_MS)
    // A request that is out for longer than replies take says more than they do: the replica may have stalled.
    return (seat.inFlight + inputs) * Math.max(replyMs, now() - oldest)
  }

  /** What replies of the other replicas take: a new one is taken for one of them. */
  function usual(but: Seat<Replica>): number | undefined {
    const known = seats.flatMap(({ replyMs, replica }) =>
      replyMs === undefined || replica === but.replica ? [] : [replyMs],
    )
    return known.sort((a, b) => a - b)[known.length >> 1]
  }

  function answered(seat: Seat<Replica>, ms: number): void {
    const weight = 1 - Math.exp(-(now() - seat.repliedAt) / MEMORY_MS)
    seat.replyMs = seat.replyMs === undefined ? ms : seat.replyMs + weight * (ms - seat.replyMs)
    seat.repliedAt = now()
    const others = usual(seat)
    if (others !== undefined && ms > Math.max(SLOW * others, SLOW_MS)) {
      miss(seat)
      return
    }
    seat.failedInARow = 0
    if (++seat.answeredInARow >= CLEAN) seat.ejections = 0
  }

  function failed(seat: Seat<Replica>): void {
    // A replica that fails at once must not look quick.
    seat.replyMs = Math.max(seat.replyMs ?? 0, 2 * (usual(seat) ?? 0))
    seat.repliedAt = now()
    miss(seat)
  }

  function miss(seat: Seat<Replica>): void {
    seat.answeredInARow = 0
    seat.failedInARow++
    const enough = seat.ejections > 0 ? 1 : FAILURES
    if (seat.failedInARow < enough || isEjected(seat)) return
    // When most fail, it is not the replicas: half of them stay in use.
    if (2 * (seats.filter(isEjected).length + 1) > seats.length) return
    seat.ejections++
    const ms = Math.min(LONGEST_MS, EJECTED_MS * seat.ejections)
    seat.ejectedUntil = now() + ms
    seat.failedInARow = 0
    onEjected?.(seat.replica, ms)
  }

  return {
    get replicas() {
      return seats.map(({ replica }) => replica)
    },
    get ejected() {
      return seats.filter(isEjected).map(({ replica }) => replica)
    },
    add(replica) {
      seats.push({
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
      const place = seats.findIndex(seat => seat.replica === replica)
      if (place >= 0) seats.splice(place, 1)
    },
    next,
    isWell(replica) {
      const seat = seats.find(one => one.replica === replica)
      return seat !== undefined && seat.failedInARow === 0 && !isEjected(seat)
    },
  }
}
