// Opens an endpoint that may be scaled to zero. Planners and workers share a limit coordinator, so
// one of them all probes the endpoint during its cold start.

import { hostname } from 'node:os'
import { createLimiter } from '@reembed/limiter'
import { type LimitCoordinator, openLimitCoordinator, type RedisTarget } from '@reembed/queue'
import { type Clock, ReembedError, systemClock } from '@reembed/shared'
import type { Endpoint, EndpointOptions } from './client/endpoint.ts'
import { openEndpoint } from './client/open.ts'
import { failureBehind } from './client/outcome.ts'
import { probeEndpoint } from './client/probe.ts'
import { parseTargets } from './client/targets.ts'

export interface ProberOptions {
  /**
   * The Redis through which the processes of the fleet elect one prober. Without it, this process
   * probes independently.
   */
  readonly redis?: RedisTarget | undefined
  readonly maxUnavailableMs?: number
  /**
   * Waits also for a name without an address and for a refused connection, as for a server that an
   * autoscaler has at zero replicas.
   */
  readonly awaitAddress?: boolean | undefined
  /** Called with the state at intervals during the wait: 'warming, 41 s'. */
  readonly onState?: ((state: string) => void) | undefined
  readonly clock?: Clock
}

/** A large model takes minutes to load. */
const PATIENCE_MS = 15 * 60_000
const REPORT_INTERVAL_MS = 10_000
/** Minimum interval between attempts at an unavailable endpoint. */
const MIN_PROBE_INTERVAL_MS = 1_000

/**
 * Like `openEndpoint`, but waits for an endpoint that is scaled to zero or being updated. A refused
 * connection fails at once: its usual cause is a wrong address. @throws ReembedError as
 * `openEndpoint`
 */
export async function openProber(
  url: string,
  options: EndpointOptions = {},
  {
    redis,
    maxUnavailableMs = PATIENCE_MS,
    awaitAddress = false,
    onState,
    clock = systemClock,
  }: ProberOptions = {},
): Promise<Endpoint> {
  const untilMs = clock.now() + maxUnavailableMs
  for (;;) {
    try {
      return await openEndpoint(url, options)
    } catch (error) {
      const isExpected = isStarting(error) || (awaitAddress && hasNoServer(error))
      if (!isExpected || clock.now() >= untilMs) throw error
    }
    await clock.sleep(MIN_PROBE_INTERVAL_MS, options.signal)
    await using board =
      redis === undefined ? undefined : openLimitCoordinator(redis, parseTargets(url, options).name)
    await waitUntilAvailable(url, options, { board, maxUnavailableMs: untilMs - clock.now(), onState, clock })
  }
}

const isStarting = (error: unknown): boolean => failureBehind(error)?.kind === 'cold_start'

/** A name that has no address has no failure of a request either. */
const hasNoServer = (error: unknown): boolean =>
  error instanceof ReembedError &&
  error.code === 'ENDPOINT_UNREACHABLE' &&
  ['down', undefined].includes(failureBehind(error)?.kind)

async function waitUntilAvailable(
  url: string,
  options: EndpointOptions,
  {
    board: coordinator,
    maxUnavailableMs,
    onState,
    clock,
  }: Omit<Required<ProberOptions>, 'redis' | 'awaitAddress'> & { board: LimitCoordinator | undefined },
): Promise<void> {
  await using limiter = createLimiter({
    // This member only probes, so it must not reduce the limit of the workers.
    max: Number.POSITIVE_INFINITY,
    coordinator,
    worker: `${hostname()}-${process.pid}-plan`,
    probe: stop => probeEndpoint(url, options, stop),
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
