import { setTimeout as wait } from 'node:timers/promises'
import {
  createHookQueue,
  openCalendar,
  registerProducerMetrics,
  runHooks,
  runSchedules,
  type Schedule,
  type ScheduleTrigger,
  serveHooks,
  sweepOutputs,
} from '@reembed/producer'
import type { RedisTarget } from '@reembed/queue'
import { absoluteUrl, unlessAborted } from '@reembed/shared'
import { type FollowedStore, type FollowOptions, followVersions, openVectorStore } from '@reembed/sinks'
import { openStore } from '@reembed/store'
import { type Logger, openLog } from '@reembed/telemetry'
import type { Command } from 'commander'
import { sinksOf } from '../config/apply.ts'
import { requireConfigFile, schedulesOf } from '../config/schedules.ts'
import { onInterrupt } from '../interrupt.ts'
import { openMetrics } from '../metrics.ts'
import { checkEndpoint, openOutput, openQueueAtStart, requireRedis, s3OptionsOf } from '../open-resources.ts'
import type { MetricsFlags } from '../options.ts'
import { type ProducerFlags, planTick } from '../planning-tick.ts'
import { actorOf } from '../requests.ts'
import { withLoggedWaits } from '../waits.ts'

const SWEEP_MS = 30_000
/**
 * Interval of sweeps while another process finalizes a run. Short, because that process may die
 * before it has finished.
 */
const SOON_MS = 6_000
/** Interval of checks of the current version for vector stores. */
const FOLLOW_MS = 10_000

/** Time for the planning of a run that is due. */
const STOP_MS = 5_000

type Flags = ProducerFlags & MetricsFlags & { readonly hooks?: string; readonly hookQuietSeconds: number }

/**
 * `reembed producer`: checks its schedules, serves hooks and sweeps, until SIGTERM. Several
 * producers may run concurrently.
 */
export async function producer(flags: Flags, self: Command): Promise<void> {
  const file = await requireConfigFile(self)
  const schedules = schedulesOf(file)
  const sinks = sinksOf(file, process.env, { needed: true })
  await checkEndpoint(flags)
  const redis = requireRedis(flags)
  const log = openLog({ level: process.env.REEMBED_LOG ?? 'info' })
  await withLoggedWaits(log, () => produce(flags, { schedules, sinks }, redis, log))
}

async function produce(
  flags: Flags,
  { schedules, sinks }: { readonly schedules: readonly Schedule[]; readonly sinks: readonly FollowedStore[] },
  redis: RedisTarget,
  log: Logger,
): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const { signal } = stack.adopt(onInterrupt(STOP_MS), ({ stop }) => stop())
  const store = stack.use(await unlessAborted(signal, openOutput(flags)))
  const queue = stack.use(await openQueueAtStart(redis, log, signal))

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
    log.info({ url: hooks.url }, 'hooks served')
  }
  log.info({ schedules: schedules.map(({ name }) => name), output: store.url }, 'producer started')
  const plan = (trigger: ScheduleTrigger) => planTick(trigger, flags, store, queue)
  await Promise.all([
    runSchedules({ schedules, store, plan, log, metrics, signal }),
    runHooks(hooked, { plan, log, metrics, signal }),
    followVersions(store, sinks, { ...followOptions(log, signal), queue }),
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

const followOptions = (log: Logger, signal: AbortSignal): FollowOptions => ({
  open: openVectorStore,
  pause: () => wait(FOLLOW_MS * (0.5 + Math.random()), undefined, { signal }),
  onEvent: ({ kind, ...event }) => {
    if (kind === 'failed') log.warn(event, 'vector store not updated')
    else if (kind === 'waiting') log.warn(event, 'load waits')
    else log.info(event, kind === 'loaded' ? 'vector store loaded' : 'searches switched')
  },
  by: actorOf({}).by,
  signal,
})
