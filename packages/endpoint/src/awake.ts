// Opening an endpoint that may be asleep. Planning asks it before any worker does; a fleet's planners and workers
// together wake it with one prober, so they meet at the same board.

import { hostname } from 'node:os'
import { type Board, openBoard } from '@reembed/queue'
import { parseAddresses } from './client/addresses.ts'
import type { Endpoint, EndpointOptions } from './client/endpoint.ts'
import { isAbsence } from './client/failure-kinds.ts'
import { openEndpoint } from './client/open.ts'
import { failureBehind } from './client/outcome.ts'
import { probeEndpoint } from './client/probe.ts'
import { type Clock, systemClock } from './clock.ts'
import { createLimiter } from './limiter/limiter.ts'

export interface AwakeOptions {
  /** Where the fleet's workers meet; alone if not given. */
  readonly redis?: string | undefined
  readonly patienceMs?: number
  /** Told now and then while it is waited for: 'warming, 41 s'. */
  readonly onState?: ((state: string) => void) | undefined
  readonly clock?: Clock
}

/** Weights of a large model take minutes to come. */
const PATIENCE_MS = 15 * 60_000
const SAY_MS = 10_000
/** No endpoint that is away is asked more often. */
const KNOCK_MS = 1_000

/**
 * As `openEndpoint`, but what is scaled to zero or being updated is woken and waited for. What refuses the connection
 * is not: more often its address is wrong.
 */
export async function openAwake(
  url: string,
  options: EndpointOptions = {},
  { redis, patienceMs = PATIENCE_MS, onState, clock = systemClock }: AwakeOptions = {},
): Promise<Endpoint> {
  const untilMs = clock.now() + patienceMs
  for (;;) {
    try {
      return await openEndpoint(url, options)
    } catch (error) {
      if (failureBehind(error)?.kind !== 'cold' || clock.now() >= untilMs) throw error
    }
    await clock.sleep(KNOCK_MS, options.signal)
    await using board = redis === undefined ? undefined : openBoard(redis, parseAddresses(url, options).name)
    await untilThere(url, options, { board, patienceMs: untilMs - clock.now(), onState, clock })
  }
}

async function untilThere(
  url: string,
  options: EndpointOptions,
  { board, patienceMs, onState, clock }: Omit<Required<AwakeOptions>, 'redis'> & { board: Board | undefined },
): Promise<void> {
  await using limiter = createLimiter({
    // It sends nothing but a probe, and must not narrow what others may send.
    max: Number.POSITIVE_INFINITY,
    board,
    worker: `${hostname()}-${process.pid}-plan`,
    probe: stop => probeEndpoint(url, options, isAbsence, stop),
    patienceMs,
    clock,
  })
  const over = new AbortController()
  const say = async (): Promise<void> => {
    for (let ms = KNOCK_MS; ; ms = SAY_MS) {
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
