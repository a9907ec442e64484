// Opening an endpoint that may be asleep. Planning asks it before any worker does; a fleet's planners and workers
// together wake it with one prober, so they meet at the same board.

import { hostname } from 'node:os'
import { type LimitCoordinator, openLimitCoordinator, type RedisTarget } from '@reembed/queue'
import type { Endpoint, EndpointOptions } from './client/endpoint.ts'
import { isUnavailable } from './client/failure-kinds.ts'
import { openEndpoint } from './client/open.ts'
import { failureBehind } from './client/outcome.ts'
import { probeEndpoint } from './client/probe.ts'
import { parseTargets } from './client/targets.ts'
import { type Clock, systemClock } from './clock.ts'
import { createLimiter } from './limiter/limiter.ts'

export interface ProberOptions {
  /** Where the fleet's workers meet; alone if not given. */
  readonly redis?: RedisTarget | undefined
  readonly maxUnavailableMs?: number
  /** Told now and then while it is waited for: 'warming, 41 s'. */
  readonly onState?: ((state: string) => void) | undefined
  readonly clock?: Clock
}

/** Weights of a large model take minutes to come. */
const PATIENCE_MS = 15 * 60_000
const REPORT_INTERVAL_MS = 10_000
/** No endpoint that is away is asked more often. */
const MIN_PROBE_INTERVAL_MS = 1_000

/**
 * As `openEndpoint`, but what is scaled to zero or being updated is woken and waited for. What refuses the connection
 * is not: more often its address is wrong.
 */
export async function openProber(
  url: string,
  options: EndpointOptions = {},
  { redis, maxUnavailableMs = PATIENCE_MS, onState, clock = systemClock }: ProberOptions = {},
): Promise<Endpoint> {
  const untilMs = clock.now() + maxUnavailableMs
  for (;;) {
    try {
      return await openEndpoint(url, options)
    } catch (error) {
      if (failureBehind(error)?.kind !== 'cold_start' || clock.now() >= untilMs) throw error
    }
    await clock.sleep(MIN_PROBE_INTERVAL_MS, options.signal)
    await using board =
      redis === undefined ? undefined : openLimitCoordinator(redis, parseTargets(url, options).name)
    await waitUntilAvailable(url, options, { board, maxUnavailableMs: untilMs - clock.now(), onState, clock })
  }
}

async function waitUntilAvailable(
  url: string,
  options: EndpointOptions,
  {
    board: coordinator,
    maxUnavailableMs,
    onState,
    clock,
  }: Omit<Required<ProberOptions>, 'redis'> & { board: LimitCoordinator | undefined },
): Promise<void> {
  await using limiter = createLimiter({
    // It sends nothing but a probe, and must not narrow what others may send.
    max: Number.POSITIVE_INFINITY,
    coordinator,
    worker: `${hostname()}-${process.pid}-plan`,
    probe: stop => probeEndpoint(url, options, isUnavailable, stop),
    maxUnavailableMs,
    clock,
  })
  const over = new AbortController()
  const say = async (): Promise<void> => {
    for (let ms = MIN_PROBE_INTERVAL_MS; ; ms = REPORT_INTERVAL_MS) {
      await clock.sleep(ms, over.signal)
      onState?.(limiter.state)
    }
  }
  say().catch(() => {})
  try {
    ;(await limiter.acquire(1, options.signal)).ignore()
  } finally {
    over.abort()
  }
}
