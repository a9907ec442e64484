// One phase of the bench of scale in a process of its own: what it takes, in seconds, requests and
// memory.

import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { requireUniqueIds, verify } from '@reembed/evaluate'
import { startRedis } from '@reembed/local'
import { openCorpus, planRun, recordPlan } from '@reembed/planner'
import { deleteRuns, enqueueMissing, finalize, findGarbage, readRunStatus } from '@reembed/producer'
import {
  countPresent,
  type ModelIdentity,
  type Plan,
  readRunStateRecord,
  requirePlan,
  setRunState,
  shardsPresent,
} from '@reembed/protocol'
import { openQueue } from '@reembed/queue'
import { manifestKey, shardOfKey } from '@reembed/shared'
import { openDeleter, openStore, type Store } from '@reembed/store'
import { openLog } from '@reembed/telemetry'
import { startWorker } from '@reembed/worker'
import { type CountedView, countedDeleter, countedStore, type Requests } from './counted.ts'
import { PARTS, type SyntheticRun, syntheticCorpus, syntheticRun } from './synthetic.ts'

export const PHASES = ['plan', 'run', 'resume', 'finalize', 'ids', 'verify', 'status', 'gc'] as const
export type Phase = (typeof PHASES)[number]

export interface Question {
  readonly phase: Phase
  readonly documents: number
  readonly dimensions: number
  /** Undefined for a synthetic run. */
  readonly folders:
    | { readonly source: string; readonly output: string; readonly endpoint: string }
    | undefined
  /** The run that 'plan' recorded. */
  readonly run: string | undefined
}

export interface Spent {
  readonly seconds: number
  /** Seconds in which the bench made the shards of a synthetic run. */
  readonly madeSeconds: number
  readonly cpuSeconds: number
  readonly requests: Requests
  readonly peakMiB: number
  readonly temporaryMiB: number
  readonly run: string | undefined
  /** What came of it. */
  readonly outcome: string
}

type Measured = Pick<Spent, 'run' | 'outcome'>

const MIB = 2 ** 20

/** The store of the output, and what else the phase needs. */
interface Opened {
  readonly question: Question
  readonly synthetic: SyntheticRun | undefined
  readonly store: Store
  view(options?: CountedView): Store
  readonly requests: Requests
}

async function planned({ question, store }: Opened): Promise<Measured> {
  const { documents, dimensions, folders } = question
  await using corpus = folders ? await openCorpus(folders.source, {}) : syntheticCorpus(documents)
  // A synthetic run is cut as one of 384 dimensions.
  const model: ModelIdentity = {
    id: 'bench',
    revision: 'r1',
    dimensions: folders ? dimensions : 384,
    pooling: 'mean',
    normalized: true,
  }
  const { plan } = await recordPlan(store, await planRun(corpus, { model, prompt: '', truncate: true }))
  return { run: plan.run, outcome: `${plan.shards} shards` }
}

/** A whole worker. It opens the output itself, so its requests are not counted. */
async function worked({ question, store }: Opened, plan: Plan): Promise<Measured> {
  await using redis = await startRedis()
  await using queue = await openQueue(redis.url)
  const failed = Promise.withResolvers<never>()
  let idle = Promise.withResolvers<void>()
  await using _worker = await startWorker({
    redis: redis.url,
    endpoint: question.folders?.endpoint ?? '',
    outputs: [question.folders?.output ?? ''],
    log: openLog({ level: 'warn' }),
    onIdle: () => idle.resolve(),
    onJobError: error => failed.reject(error),
  })
  await enqueueMissing(queue, store, plan, await shardsPresent(store, plan))
  const left = async (): Promise<number> => {
    const { waiting, active, delayed } = await queue.counts({ output: store.url, run: plan.run })
    return waiting + active + delayed
  }
  // A worker may fetch its last job just after it found the queue empty, and then does not report
  // that it is idle.
  while ((await left()) > 0) {
    await Promise.race([idle.promise, wait(200), failed.promise])
    idle = Promise.withResolvers()
  }
  const present = countPresent(await shardsPresent(store, plan))
  if (present < plan.shards) throw new Error(`${plan.shards - present} shards are missing`)
  return { run: plan.run, outcome: `${plan.shards} shards` }
}

/** What a sweep does when every tenth shard is missing. */
async function resumed({ view }: Opened, plan: Plan): Promise<Measured> {
  await using redis = await startRedis()
  await using queue = await openQueue(redis.url)
  const some = view({ isHidden: key => (shardOfKey(key, plan.run, plan.shards) ?? 1) % 10 === 0 })
  const jobs = await enqueueMissing(queue, some, plan, await shardsPresent(some, plan))
  return { run: plan.run, outcome: `${jobs} jobs` }
}

async function finalized({ store, view, synthetic }: Opened, plan: Plan): Promise<Measured> {
  const present = await shardsPresent(store, plan)
  const output = synthetic ? view({ isReadOnly: true }) : store
  const { totals } = await finalize(output, plan, { present })
  return { run: plan.run, outcome: `${totals.rows} rows` }
}

async function compared({ store }: Opened, plan: Plan): Promise<Measured> {
  const present = await shardsPresent(store, plan)
  await requireUniqueIds(store, plan, { rows: plan.estimatedDocuments, shardsSha256: plan.run }, { present })
  return { run: plan.run, outcome: 'ids unique' }
}

async function verified({ store, synthetic }: Opened, plan: Plan): Promise<Measured> {
  const part = synthetic && `1/${PARTS}`
  const { totals, shardsRead, shards } = await verify(store, plan.run, { part })
  return { run: plan.run, outcome: `${totals.rows} rows, ${shardsRead ?? shards} shards read whole` }
}

async function described({ store }: Opened, plan: Plan): Promise<Measured> {
  const { state } = await readRunStatus(store, undefined, plan.run)
  return { run: plan.run, outcome: state }
}

/** Deletes the run, as one that was cancelled before it was finished. */
async function collected(
  { question, store, view, synthetic, requests }: Opened,
  plan: Plan,
): Promise<Measured> {
  const cancelled = view({
    isHidden: key => key === manifestKey(plan.run),
    isReadOnly: synthetic !== undefined,
  })
  const rules = { keep: 1, beforeMs: Number.POSITIVE_INFINITY }
  if (synthetic) {
    // Its state cannot be recorded, so it is not deletable: only its listing is measured.
    const objects = await Array.fromAsync(cancelled.list(`runs/${plan.run}/`))
    return { run: plan.run, outcome: `${objects.length} objects listed` }
  }
  await setRunState(store, plan.run, 'cancelled', {})
  const { deletable } = await findGarbage(cancelled, rules)
  await using deleter = await openDeleter(question.folders?.output ?? '')
  const counted = countedDeleter(deleter, requests)
  const runs = deletable.map(({ run }) => run)
  const deleted = await Array.fromAsync(deleteRuns(cancelled, counted, runs, rules))
  return {
    run: plan.run,
    outcome: `${deleted.length} run, state ${(await readRunStateRecord(store, plan.run)).state}`,
  }
}

const MEASURED: Record<Exclude<Phase, 'plan'>, (opened: Opened, plan: Plan) => Promise<Measured>> = {
  run: worked,
  resume: resumed,
  finalize: finalized,
  ids: compared,
  verify: verified,
  status: described,
  gc: collected,
}

async function measure(question: Question): Promise<Spent> {
  const { phase, documents, folders } = question
  const temporary = mkdtempSync(join(tmpdir(), 'reembed-scale-temporary-'))
  process.env.TMPDIR = temporary
  const synthetic = folders ? undefined : await syntheticRun(documents)
  const base = synthetic?.store ?? (await openStore(folders?.output ?? '', { create: true }))
  const { store, requests } = countedStore(base)
  const opened: Opened = {
    question,
    synthetic,
    store,
    view: options => countedStore(store, options).store,
    requests,
  }
  let temporaryBytes = 0
  const watch = setInterval(() => {
    temporaryBytes = Math.max(temporaryBytes, bytesBelow(temporary))
  }, 1_000)
  const [cpu, startedMs, madeBefore] = [process.cpuUsage(), performance.now(), synthetic?.madeSeconds() ?? 0]
  try {
    const run = synthetic?.plan.run ?? question.run ?? ''
    const { outcome, ...made } =
      phase === 'plan'
        ? await planned(opened)
        : await MEASURED[phase](opened, synthetic?.plan ?? (await requirePlan(base, run)))
    const { user, system } = process.cpuUsage(cpu)
    return {
      seconds: (performance.now() - startedMs) / 1000,
      madeSeconds: (synthetic?.madeSeconds() ?? 0) - madeBefore,
      cpuSeconds: (user + system) / 1e6,
      requests,
      peakMiB: Math.round(process.resourceUsage().maxRSS / 1024),
      temporaryMiB: Math.round(temporaryBytes / MIB),
      run: made.run,
      outcome,
    }
  } finally {
    clearInterval(watch)
    rmSync(temporary, { recursive: true, force: true })
  }
}

function bytesBelow(folder: string): number {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter(entry => entry.isFile())
    .reduce((sum, { parentPath, name }) => {
      const size = statSync(join(parentPath, name), { throwIfNoEntry: false })?.size ?? 0
      return sum + size
    }, 0)
}

process.once('message', async (question: Question) => {
  process.send?.(await measure(question))
  process.disconnect()
})
