// The programs of the simulated fleet: the same steps as `reembed enqueue`, `reembed worker` and
// `reembed rollback`, made of the product's own code.

import { ensureReference, modelOf } from '@reembed/endpoint'
import { type Corpus, findBaseRun, lookUpRun, planRun, recordPlan } from '@reembed/planner'
import {
  cancelRunDeletion,
  createSweeper,
  deleteRuns,
  enqueueMissing,
  findGarbage,
  planRetry,
  rollback,
} from '@reembed/producer'
import {
  continueSuperseded,
  readCurrent,
  readPlan,
  readSeq,
  setRunState,
  shardsPresent,
} from '@reembed/protocol'
import { dispositionOf } from '@reembed/queue'
import { messageOf, ReembedError } from '@reembed/shared'
import type { ObjectDeleter, Store } from '@reembed/store'
import { createEmbedder, createRunCache, createWorkerHealth, processJob } from '@reembed/worker'
import { type Flaw, flawedFleet, flawedOutput, flawedSource } from './flaws.ts'
import type { Fleet } from './fleet.ts'
import type { Lock, SimulatedQueue } from './queue.ts'
import type { Shape } from './shape.ts'
import { MS_PER_TURN, type Process, type World } from './world.ts'

export interface Setting {
  readonly world: World
  readonly shape: Shape
  readonly queue: SimulatedQueue
  readonly fleet: Fleet
  readonly openOutput: (process: Process) => Store & ObjectDeleter
  readonly openSource: (process: Process) => Store
  /** The wrong setting of a worker, if it has one. */
  readonly flawOf: (process: Process) => Flaw | undefined
  /** The names of the other live workers. */
  readonly otherWorkers: (process: Process) => readonly string[]
  /** Called when a worker spends an attempt of a job, or fails it. */
  readonly blamed: (process: Process, lock: Lock, reason: string) => void
  /** Called when a worker reports that a job is done. */
  readonly claimed: (job: Lock['job']) => void
  /** Called for each planned run. */
  readonly planned: (run: string, revision: string | null) => void
  /** Called when a rollback was refused although no run was planned after it began. */
  readonly refused: () => void
  /**
   * Called when a gc begins. The result is called when that gc completes, and returns the broken
   * invariant.
   */
  readonly collecting: () => () => void
  /** Called for a run that gc is about to delete whatever its age. */
  readonly named: (run: string) => void
  /**
   * Called when a gc has chosen the runs to delete: another operator then rolls back to one of them
   * or resumes it.
   */
  readonly regretted: () => void
}

/** Plans and enqueues the current state of endpoint and source. Retries after transient errors. */
export async function produce(setting: Setting, process: Process): Promise<string> {
  const { world, fleet } = setting
  const store = setting.openOutput(process)
  const source = setting.openSource(process)
  const queue = setting.queue.open(process)
  for (;;) {
    try {
      const endpoint = await fleet.open(process)
      const model = modelOf(endpoint)
      await ensureReference(store, endpoint, { now: () => world.now })
      const planned = await planRun(corpusOf(source), {
        model,
        documentsPerShard: setting.shape.documentsPerShard,
        maxRejects: '100%',
        findBaseRun: ids => findBaseRun(store, ids),
        lookUpRun: run => lookUpRun(store, run),
      })
      const { plan } = await recordPlan(store, planned)
      setting.planned(plan.run, plan.recipe.model.revision)
      await continueSuperseded(store, plan)
      await queue.removeFailed({ output: store.url, run: plan.run })
      await enqueueMissing(queue, store, plan, await shardsPresent(store, plan))
      return plan.run
    } catch (error) {
      if (!(error instanceof ReembedError)) throw error
      // Plans again, as an operator would, when the source changes during planning or gc deletes
      // the run.
      if (error.retry !== 'requeue' && !['SOURCE_CHANGED', 'RUN_STOPPED'].includes(error.code)) throw error
      await world.turn(process, 20)
    }
  }
}

/**
 * Like `reembed run`: plans and waits until its run is finished. Resumes the run if it was stopped.
 */
export async function produceAndFollow(setting: Setting, process: Process): Promise<void> {
  let run = await produce(setting, process)
  const store = setting.openOutput(process)
  const sweeper = createSweeper(store, setting.queue.open(process))
  for (;;) {
    const outcomes = await sweeper.sweep(undefined, run).catch((error: unknown) => {
      if (error instanceof ReembedError) return []
      throw error
    })
    const status = outcomes.find(outcome => outcome.run === run)?.status
    if (status === 'finished') return
    if (status === 'cancelled' || status === 'paused') await resumeAll(setting, process)
    if (status === 'superseded') run = await produce(setting, process)
    // The run is deleted: it had been cancelled or superseded.
    if ((await readPlan(store, run)) === undefined) run = await produce(setting, process)
    await setting.world.turn(process, setting.shape.sweepTurns)
  }
}

const corpusOf = (store: Store): Corpus => ({
  store,
  async *objects() {
    for await (const { key, size, etag } of store.list('')) yield { key, size, etag, format: 'jsonl' }
  },
  async [Symbol.asyncDispose]() {},
})

/** Interval of the tries of a suspended worker. */
const SUSPENDED_TURNS = 50

/** Takes jobs, several at once, and sweeps beside. */
export async function embedAndSweep(setting: Setting, process: Process): Promise<void> {
  const { world, queue } = setting
  const flaw = setting.flawOf(process)
  const fleet = flawedFleet(setting.fleet, flaw)
  const store = flawedOutput(setting.openOutput(process), flaw)
  const source = flawedSource(setting.openSource(process), flaw)
  const health = createWorkerHealth(() => world.now * MS_PER_TURN)
  const runs = createRunCache({
    outputs: [store.url],
    openUrl: async url => (url === store.url ? store : source),
    checkWritable: async () => {},
  })
  const embedder = createEmbedder(
    'http://simulated',
    {},
    {
      open: () => fleet.open(process),
      clock: {
        now: () => world.now * MS_PER_TURN,
        sleep: async (ms, signal) => {
          await world.turn(process, Math.ceil(ms / MS_PER_TURN))
          signal?.throwIfAborted()
        },
      },
      random: world.random,
    },
  )

  async function handle(lock: Lock): Promise<void> {
    try {
      const run = await runs.open(lock.job)
      const context = {
        stop: { begun: lock.lost.signal, over: new AbortController().signal },
        // A job that lost its lock may have time for a checkpoint, or even for its shard.
        signal: world.chance(0.5) ? lock.lost.signal : new AbortController().signal,
        reportDocuments: () => {},
        now: () => world.now * MS_PER_TURN,
      }
      const made = await processJob(lock.job, run, embedder, context)
      if (made.status === 'stopped') health.stopped()
      else setting.claimed(lock.job)
      if (made.status === 'put') health.finished()
      await queue.end(lock, { do: 'done' })
    } catch (error) {
      if (!(error instanceof ReembedError) && !lock.lost.signal.aborted) throw error
      health.failed(error)
      const observer = {
        worker: process.name,
        isProven: health.isProven,
        others: setting.otherWorkers(process),
        earlier: lock.observations,
      }
      const disposition = dispositionOf(error, { draining: false, observer, random: world.random })
      if (disposition.do === 'retry' || disposition.do === 'fail')
        setting.blamed(process, lock, messageOf(error))
      await queue.end(lock, disposition, messageOf(error))
    }
  }

  async function take(): Promise<never> {
    for (;;) {
      if (health.isSuspended) await world.turn(process, SUSPENDED_TURNS)
      await handle(await queue.take(process, [store.url]))
    }
  }

  await Promise.all([
    ...Array.from({ length: setting.shape.jobsAtOnce }, take),
    // A worker without its output cannot sweep it.
    ...(flaw === undefined ? [sweepForEver(setting, process, store)] : []),
  ])
}

async function sweepForEver(setting: Setting, process: Process, store: Store): Promise<never> {
  const { world, queue, shape } = setting
  const sweeper = createSweeper(store, queue.open(process))
  for (;;) {
    await world.turn(process, shape.sweepTurns)
    try {
      await sweeper.sweep()
    } catch (error) {
      if (!(error instanceof ReembedError)) throw error
    }
  }
}

/** An operator that repairs the model and starts a retry of the refused documents. */
export async function retryRejects(setting: Setting, process: Process): Promise<void> {
  const store = setting.openOutput(process)
  setting.fleet.repaired = true
  try {
    const current = await readCurrent(store)
    if (current === undefined) return
    const { plan } = await recordPlan(store, await planRetry(store, current.run))
    setting.planned(plan.run, plan.recipe.model.revision)
    const present = await shardsPresent(store, plan)
    await enqueueMissing(setting.queue.open(process), store, plan, present)
  } catch (error) {
    if (!(error instanceof ReembedError)) throw error
  }
}

/** An operator that pauses the last planned run and resumes it later. */
export async function pauseAWhile(setting: Setting, process: Process): Promise<void> {
  const store = setting.openOutput(process)
  try {
    const run = (await readSeq(store))[0]?.run
    if (run === undefined) return
    await setRunState(store, run, setting.world.pick(['paused', 'cancelled']))
    await setting.world.turn(process, setting.world.pick([100, 100, 400]))
    await setRunState(store, run, 'running')
  } catch (error) {
    if (!(error instanceof ReembedError)) throw error
  }
}

/** An operator that resumes every run. */
export async function resumeAll(setting: Setting, process: Process): Promise<void> {
  const store = setting.openOutput(process)
  try {
    for (const { run } of await readSeq(store)) {
      await setRunState(store, run, 'running').catch((error: unknown) => {
        if (!(error instanceof ReembedError) || error.code !== 'RUN_STOPPED') throw error
      })
    }
  } catch (error) {
    if (!(error instanceof ReembedError)) throw error
  }
}

/** An operator that deletes unneeded runs, as `reembed gc --delete` does. */
export async function collect(setting: Setting, process: Process): Promise<void> {
  const { world, shape } = setting
  const store = setting.openOutput(process)
  const rules = { keep: shape.keep, beforeMs: (world.now - shape.ageTurns) * MS_PER_TURN }
  const ended = setting.collecting()
  try {
    const { kept, deletable } = await findGarbage(store, rules)
    for (const { run } of kept) await cancelRunDeletion(store, run)
    if (deletable.length > 0 && world.chance(0.5)) {
      setting.regretted()
      await world.turn(process, world.below(150))
    }
    const runs = deletable.map(({ run }) => run)
    for await (const _ of deleteRuns(store, store, runs, rules));
    ended()
  } catch (error) {
    if (!(error instanceof ReembedError)) throw error
  }
}

/** The same, again and again. */
export async function collectForEver(setting: Setting, process: Process): Promise<never> {
  for (;;) {
    await setting.world.turn(process, 100)
    await collect(setting, process)
  }
}

/**
 * An operator that starts the last planned run from scratch: cancels it, deletes it and plans it
 * again.
 */
export async function startOver(setting: Setting, process: Process): Promise<void> {
  const { world, shape } = setting
  const store = setting.openOutput(process)
  try {
    const run = (await readSeq(store))[0]?.run
    if (run === undefined) return
    await setRunState(store, run, 'cancelled')
    setting.named(run)
    const rules = { keep: shape.keep, beforeMs: world.now * MS_PER_TURN, run }
    const { deletable } = await findGarbage(store, rules)
    const runs = deletable.map(({ run }) => run)
    for await (const _ of deleteRuns(store, store, runs, rules));
  } catch (error) {
    if (!(error instanceof ReembedError)) throw error
  }
  await produce(setting, process)
}

/** An operator that rolls back to the previous version. */
export async function goBack(setting: Setting, process: Process): Promise<void> {
  const store = setting.openOutput(process)
  try {
    const newest = (await readSeq(store))[0]?.seq ?? 0
    const outcome = await rollback(store)
    if (outcome.status === 'superseded' && outcome.by.seq <= newest) setting.refused()
  } catch (error) {
    if (!(error instanceof ReembedError)) throw error
  }
}
