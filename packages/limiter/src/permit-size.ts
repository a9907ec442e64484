// The number of inputs of a waiting request that may be sent now.

/**
 * The share is split into about this many requests, unless they would be below the minimum permit.
 */
const MANY = 48
const QUICK_PER_MS = 5
export const MIN_PERMIT = 8
/**
 * Where this many requests fit into the limit, one that does not fit waits instead of being split.
 */
const WHOLE = 8

export interface Capacity {
  /** Inputs that may be in flight, and those that are. */
  readonly limit: number
  readonly inFlight: number
  /** Recent time of a reply at the server. */
  readonly serverMs: number
}

/**
 * How many of `asked` inputs may be sent now; 0 to wait. A share is split into many requests:
 * behind a load balancer that ignores load, N requests keep M replicas busy for about N / (N + M -
 * 1) of the time. Small requests cost CPU of this worker, which matters where replies are fast; so
 * the server's time decides, not the total time.
 * @param whole do not split the request unless the share is smaller: each request has a fixed cost
 */
export function permitSize(asked: number, whole: boolean, { limit, inFlight, serverMs }: Capacity): number {
  const requests = !whole && limit < QUICK_PER_MS * serverMs ? MANY : 1
  const wanted = Math.min(asked, Math.max(MIN_PERMIT, Math.floor(limit / requests)))
  const room = limit - inFlight
  if (wanted <= room) return wanted
  // Where few requests fill the share, a request that does not fit is split, so that the whole
  // share is used.
  const least = whole ? Math.min(limit, wanted) : Math.ceil(Math.min(MIN_PERMIT, limit / MIN_PERMIT))
  return limit < WHOLE * wanted && room >= least ? Math.max(0, room) : 0
}
