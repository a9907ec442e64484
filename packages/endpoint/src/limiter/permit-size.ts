// How many inputs of a request may go now, of those that wait.

/**
 * The share goes out in about this many requests, unless they would be smaller than crumbs or too
 * many.
 */
const MANY = 48
const QUICK_PER_MS = 5
export const MIN_PERMIT = 8
/** Where this many requests fit, one that does not fit waits. */
const WHOLE = 8

export interface Capacity {
  /** Inputs that may be in flight, and that are. */
  readonly limit: number
  readonly inFlight: number
  /** What replies of late took at the server. */
  readonly serverMs: number
}

/**
 * How many of `asked` inputs may go now; 0 to wait. A share goes out as many requests rather than
 * few: behind a balancer that knows nothing, N requests keep M replicas busy for about N / (N + M -
 * 1) of the time. Small requests cost CPU here, though, which matters where replies are many: not
 * those that are late because this worker is busy.
 * @param whole not in part, unless the whole share is smaller: something is paid per request
 */
export function permitSize(asked: number, whole: boolean, { limit, inFlight, serverMs }: Capacity): number {
  const requests = !whole && limit < QUICK_PER_MS * serverMs ? MANY : 1
  const wanted = Math.min(asked, Math.max(MIN_PERMIT, Math.floor(limit / requests)))
  const room = limit - inFlight
  if (wanted <= room) return wanted
  // What does not fit whole goes in part, where a few requests make up the share: so it is used to
  // the last input.
  const least = whole ? Math.min(limit, wanted) : Math.ceil(Math.min(MIN_PERMIT, limit / MIN_PERMIT))
  return limit < WHOLE * wanted && room >= least ? Math.max(0, room) : 0
}
