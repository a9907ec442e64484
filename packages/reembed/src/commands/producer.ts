import { setTimeout as wait } from 'node:timers/promises'
import {
  type Calendar,
  checkSchedule,
  type HookKind,
  openCalendar,
  type ProducerMetrics,
  registerProducerMetrics,
  type Schedule,
  serveHooks,
  sweepOutputs,
} from '@reembed/producer'
import { openQueue, type Queue } from '@reembed/queue'
import { messageOf } from '@reembed/shared'
import { openStore, type Store } from '@reembed/store'
import { type Logger, openLog } from '@reembed/telemetry'
import type { Command } from 'commander'
import { requireConfigFile, schedulesOf } from '../config/schedules.ts'
import { onInterrupt } from '../interrupt.ts'
import { openMetrics } from '../metrics.ts'
import { absoluteUrl, checkEndpoint, openOutput, requireRedis, s3OptionsOf } from '../open-resources.ts'
import type { MetricsFlags } from '../options.ts'
import { type ProducerFlags, planTick } from '../planning-tick.ts'
import { describeCheck } from './schedule.ts'

/** How long a tick that another producer took and lost can go unseen, and how late a due one is at most. */
const CHECK_MS = 30_000
const SWEEP_MS = 30_000
/** While another process ends a run: it may be gone before it is through. */
const SOON_MS = 6_000

/** `reembed producer`: looks at its schedules, takes hooks and sweeps, until SIGTERM. Two of them do no harm. */
export async function producer(
  flags: ProducerFlags & MetricsFlags & { readonly hooks?: string; readonly hookQuietSeconds: number },
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
  const metrics = open && registerProducerMetrics(open.registry, calendars)
  await open?.serve(() => (signal.aborted ? 'stopping' : null))

  const hooked = createHookQueue()
  if (flags.hooks !== undefined) {
    const secret = process.env.REEMBED_HOOK_SECRET ?? ''
    const hooks = stack.use(
      await serveHooks({
        listen: flags.hooks,
        secret,
        debounceMs: 1000 * flags.hookQuietSeconds,
        onHook: hooked.push,
      }),
    )
    log.info({ url: hooks.url }, 'hooks taken')
  }
  log.info({ schedules: schedules.map(({ name }) => name), output: store.url }, 'producer started')
  const parts: ProducerContext = { flags, store, queue, log, metrics, signal }
  await Promise.all([
    checkSchedules(calendars, parts),
    handleHooks(hooked, parts),
    sweepOutputs({
      outputs: () => [absoluteUrl(flags.output)],
      open: output => openStore(output, { create: true, unsafe: flags.unsafeStore, s3: s3OptionsOf(flags) }),
      queue,
      log,
      metrics: open?.registry,
      signal,
      pause: soon => wait((soon ? SOON_MS : SWEEP_MS) * (0.5 + Math.random()), true, { signal }),
    }),
  ])
}

interface ProducerContext {
  readonly flags: ProducerFlags
  readonly store: Store
  readonly queue: Queue
  readonly log: Logger
  readonly metrics: ProducerMetrics | undefined
  readonly signal: AbortSignal
}

async function checkSchedules(
  schedules: readonly { readonly schedule: Schedule; readonly calendar: Calendar }[],
  { flags, store, queue, log, metrics, signal }: ProducerContext,
): Promise<void> {
  while (!signal.aborted) {
    for (const { schedule } of schedules) {
      if (signal.aborted) return
      try {
        const onDue = (due: Schedule) => planTick(due.when, flags, store, queue)
        const check = await checkSchedule(store, schedule, { nowMs: Date.now(), onDue })
        metrics?.checked(schedule, check)
        const level = check.status === 'failed' || check.status === 'abandoned' ? 'error' : 'info'
        if (check.status !== 'not_due') log[level]({ schedule: schedule.name }, describeCheck(check))
      } catch (error) {
        metrics?.checkFailed(schedule)
        log.warn({ schedule: schedule.name }, `could not look: ${messageOf(error)}`)
      }
    }
    const nowMs = Date.now()
    const dueMs = schedules.flatMap(({ calendar }) => calendar.next(nowMs, 1)).map(tickMs => tickMs - nowMs)
    await wait(Math.min(CHECK_MS, ...dueMs), undefined, { signal }).catch(() => {})
  }
}

/** A hook plans as `when: always` does: what has not changed is the same run, and that is finished already. */
async function handleHooks(
  hooked: HookQueue,
  { flags, store, queue, log, metrics, signal }: ProducerContext,
): Promise<void> {
  for await (const kinds of hooked.bursts(signal)) {
    try {
      const { status, run } = await planTick('always', flags, store, queue)
      metrics?.hookHandled(kinds, status)
      log.info({ kinds, run }, `hook: ${status}`)
    } catch (error) {
      metrics?.hookHandled(kinds, 'failed')
      log.error({ kinds }, `hook: ${messageOf(error)}`)
    }
  }
}

interface HookQueue {
  readonly push: (kinds: readonly HookKind[]) => void
  bursts(signal: AbortSignal): AsyncGenerator<readonly HookKind[], void, undefined>
}

/** Hooks that come while one is obeyed are obeyed together afterwards. */
function createHookQueue(): HookQueue {
  const kinds = new Set<HookKind>()
  let rang = Promise.withResolvers<void>()
  return {
    push(more) {
      for (const kind of more) kinds.add(kind)
      rang.resolve()
    },
    async *bursts(signal) {
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
