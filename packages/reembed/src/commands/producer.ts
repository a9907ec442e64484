import { setTimeout as wait } from 'node:timers/promises'
import {
  type Calendar,
  type HookKind,
  lookAtSchedule,
  openCalendar,
  type Schedule,
  serveHooks,
} from '@reembed/producer'
import { openQueue, type Queue } from '@reembed/queue'
import { messageOf } from '@reembed/shared'
import { openStore, type Store } from '@reembed/store'
import { type Logger, openLog } from '@reembed/telemetry'
import type { Command } from 'commander'
import { requireConfigFile, schedulesOf } from '../config/schedules.ts'
import { exportProducer, type ProducerMetrics } from '../exporter/producer.ts'
import { onInterrupt } from '../interrupt.ts'
import { openMetrics } from '../metrics.ts'
import type { MetricsFlags } from '../options.ts'
import { absolute, checkEndpoint, openOutput, requireEndpoint, requireRedis, s3OptionsOf } from '../parts.ts'
import { type FleetFlags, planTick } from '../planning-tick.ts'
import { sweepOutputs } from '../sweeping.ts'
import { describeLook } from './schedule.ts'

/** How long a tick that another producer took and lost can go unseen, and how late a due one is at most. */
const LOOK_MS = 30_000
const SWEEP_MS = 30_000
/** While another process ends a run: it may be gone before it is through. */
const SOON_MS = 6_000

/** `reembed producer`: looks at its schedules, takes hooks and sweeps, until SIGTERM. Two of them do no harm. */
export async function producer(
  flags: FleetFlags & MetricsFlags & { readonly hooks?: string; readonly hookQuietSeconds: number },
  self: Command,
): Promise<void> {
  const schedules = schedulesOf(await requireConfigFile(self))
  await checkEndpoint(flags)
  const redis = requireRedis(flags)
  const log = openLog({ level: process.env.REEMBED_LOG ?? 'info' })
  await using stack = new AsyncDisposableStack()
  const { signal } = stack.adopt(onInterrupt(), ({ stop }) => stop())
  const store = stack.use(await openOutput(flags))
  const queue = stack.use(await openQueue(redis, { signal }))

  const open = flags.metrics === undefined ? undefined : openMetrics(flags.metrics, flags, stack, log)
  const calendars = schedules.map(schedule => ({
    schedule,
    calendar: openCalendar(schedule.cron, schedule.timezone),
  }))
  const metrics = open && exportProducer(open.registry, calendars)
  await open?.serve(() => (signal.aborted ? 'stopping' : null))

  const hooked = createBell()
  if (flags.hooks !== undefined) {
    const secret = process.env.REEMBED_HOOK_SECRET ?? ''
    const hooks = stack.use(
      await serveHooks({
        listen: flags.hooks,
        secret,
        debounceMs: 1000 * flags.hookQuietSeconds,
        onHook: hooked.ring,
      }),
    )
    log.info({ url: hooks.url }, 'hooks taken')
  }
  log.info({ schedules: schedules.map(({ name }) => name), output: store.url }, 'producer started')
  const parts: Parts = { flags, store, queue, log, metrics, signal }
  await Promise.all([
    lookAt(calendars, parts),
    obey(hooked, parts),
    sweepOutputs({
      outputs: () => [absolute(flags.output)],
      open: output => openStore(output, { create: true, s3: s3OptionsOf(flags) }),
      queue,
      log,
      metrics: open?.registry,
      signal,
      pause: soon => wait((soon ? SOON_MS : SWEEP_MS) * (0.5 + Math.random()), true, { signal }),
    }),
  ])
}

interface Parts {
  readonly flags: FleetFlags
  readonly store: Store
  readonly queue: Queue
  readonly log: Logger
  readonly metrics: ProducerMetrics | undefined
  readonly signal: AbortSignal
}

async function lookAt(
  schedules: readonly { readonly schedule: Schedule; readonly calendar: Calendar }[],
  { flags, store, queue, log, metrics, signal }: Parts,
): Promise<void> {
  while (!signal.aborted) {
    for (const { schedule } of schedules) {
      if (signal.aborted) return
      try {
        // Looked up anew each time: its address and revision may have changed, and it may sleep by now.
        const act = async (due: Schedule) =>
          planTick(due.when, flags, await requireEndpoint(flags), store, queue)
        const look = await lookAtSchedule(store, schedule, { nowMs: Date.now(), act })
        metrics?.looked(schedule, look)
        const level = look.status === 'failed' || look.status === 'given_up' ? 'error' : 'info'
        if (look.status !== 'waiting') log[level]({ schedule: schedule.name }, describeLook(look))
      } catch (error) {
        metrics?.couldNotLook(schedule)
        log.warn({ schedule: schedule.name }, `could not look: ${messageOf(error)}`)
      }
    }
    const nowMs = Date.now()
    const dueMs = schedules.flatMap(({ calendar }) => calendar.next(nowMs, 1)).map(tickMs => tickMs - nowMs)
    await wait(Math.min(LOOK_MS, ...dueMs), undefined, { signal }).catch(() => {})
  }
}

/** A hook plans as `when: always` does: what has not changed is the same run, and that is finished already. */
async function obey(bell: Bell, { flags, store, queue, log, metrics, signal }: Parts): Promise<void> {
  for await (const kinds of bell.rung(signal)) {
    try {
      const { status, run } = await planTick('always', flags, await requireEndpoint(flags), store, queue)
      metrics?.hooked(kinds, status)
      log.info({ kinds, run }, `hook: ${status}`)
    } catch (error) {
      metrics?.hooked(kinds, 'failed')
      log.error({ kinds }, `hook: ${messageOf(error)}`)
    }
  }
}

interface Bell {
  readonly ring: (kinds: readonly HookKind[]) => void
  rung(signal: AbortSignal): AsyncGenerator<readonly HookKind[], void, undefined>
}

/** Hooks that come while one is obeyed are obeyed together afterwards. */
function createBell(): Bell {
  const kinds = new Set<HookKind>()
  let rang = Promise.withResolvers<void>()
  return {
    ring(more) {
      for (const kind of more) kinds.add(kind)
      rang.resolve()
    },
    async *rung(signal) {
      signal.addEventListener('abort', () => rang.resolve(), { once: true })
      while (true) {
        await rang.promise
        if (signal.aborted) return
        rang = Promise.withResolvers()
        const heard = [...kinds]
        kinds.clear()
        yield heard
      }
    },
  }
}
