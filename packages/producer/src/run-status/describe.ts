// The one description of a run: status, ls, JSON, logs, metrics and alerts show it. Pure: the facts
// come from facts.ts.

import { exceededLimits } from '@reembed/planner'
import {
  estimatedInputs,
  isSuperseded,
  type Manifest,
  type ModelIdentity,
  type Totals,
} from '@reembed/protocol'
import type { ErrorCode } from '@reembed/shared'
import { countDocumentsDone } from '../documents-done.ts'
import { type Bottleneck, bottleneckOf } from './bottleneck.ts'
import { isWorking, type QueueFacts, RECENT_MS, type RunFacts } from './facts.ts'
import type { LoadStatus } from './loads.ts'

/**
 * - `planning`: it has a sequence number and no plan yet; before that, see `PlanningStatus`.
 * - `queued`: no document is embedded yet.
 * - `running`: workers embed it.
 * - `waiting`: for `endpoint`, `no_worker`, `worker_fault` or `redis`; it continues by itself.
 * - `paused`, `cancelled`: by a person, by the budget, or because its model was replaced.
 * - `finishing`: all shards are made; a sweep audits, judges the gates and publishes.
 * - `held`: finished; rejects or gates are against publication, and a person must decide.
 * - `published`: the current version.
 * - `replaced`: it was the current version.
 * - `superseded`: a newer run is published; this run never was.
 * - `failed`: it cannot be finished as it is.
 * - `abandoned`: nothing has happened for a day, and no worker serves it.
 * - `deleting`, `deleted`: by gc.
 */
export const RUN_STATES = [
  'planning',
  'queued',
  'running',
  'waiting',
  'paused',
  'finishing',
  'held',
  'published',
  'replaced',
  'superseded',
  'cancelled',
  'failed',
  'abandoned',
  'deleting',
  'deleted',
] as const
export type RunStatusState = (typeof RUN_STATES)[number]

/** The cause of a state, for programs and metrics. */
export const STATE_REASONS = [
  'endpoint',
  'no_worker',
  'worker_fault',
  'redis',
  'person',
  'budget',
  'model_replaced',
  'audit',
  'judging',
  'rejects',
  'truncation',
  'gates',
  'duplicate_ids',
  'unbalanced',
  'corrupt',
  'wrong_model',
  'jobs',
] as const
export type StateReason = (typeof STATE_REASONS)[number]

/** The state of a run, with its cause. */
export interface RunCondition {
  readonly state: RunStatusState
  readonly reason?: StateReason | undefined
  /** A clause that completes the state: 'no worker serves this output'. */
  readonly detail?: string | undefined
  /** When it entered the state, in Unix milliseconds, where that is recorded. */
  readonly sinceMs?: number | undefined
}

export interface RunStatus extends RunCondition {
  readonly run: string
  readonly seq: number
  /** One sentence: the state with its cause. */
  readonly sentence: string
  readonly plannedMs: number | undefined
  /** When its last shard was put, or when it was planned. */
  readonly lastProgressMs: number | undefined
  readonly version: number | undefined
  readonly model: ModelIdentity | undefined
  readonly shards: number
  readonly shardsDone: number
  /** Documents, or chunks for a run that cuts documents: exact once it is finished. */
  readonly documents: number
  readonly unit: 'document' | 'chunk'
  /** In finished shards; with a queue, also the embedded documents of unfinished ones. */
  readonly documentsDone: number
  /** Set once the run is finished. */
  readonly totals: Totals | undefined
  /** The run whose vectors it reused; set once the run is finished, if it had one. */
  readonly baseRun: Manifest['baseRun']
  readonly unfinishedBaseRuns: Manifest['unfinishedBaseRuns']
  readonly speed: RunSpeed
  readonly cost: RunCost
  /** What limits its speed; undefined unless it is in progress and Redis is known. */
  readonly bottleneck: Bottleneck | undefined
  /** What Redis knows about an unfinished run; undefined without a queue. */
  readonly queue: QueueFacts | undefined
  /** Where a finished run is loaded; only in the status of a single run. */
  readonly loads?: readonly LoadStatus[] | undefined
}

export interface RunSpeed {
  /** Over the last ten minutes; null if no shard was put in that time. */
  readonly documentsPerSecond: number | null
  readonly secondsLeft: number | null
}

/** Tokens and dollars at the price of the plan; null where unknown. */
export interface RunCost {
  readonly tokens: number | null
  readonly dollars: number | null
  /** Of the whole run: the actual cost once it is finished. */
  readonly projectedTokens: number | null
  readonly projectedDollars: number | null
}

const ABANDONED_MS = 24 * 3_600_000
const HOUR_MS = 3_600_000

/** Describes a run at `nowMs`. */
export function describeRun(facts: RunFacts, nowMs: number): RunStatus {
  const { run, seq, plan, manifest, plannedMs, shards } = facts
  const queue = typeof facts.queue === 'object' ? facts.queue : undefined
  const condition = conditionOf(facts, nowMs)
  const documents = manifest?.totals.documents ?? (plan ? estimatedInputs(plan) : 0)
  const documentsDone = documentsDoneOf(facts, queue)
  const speed = speedOf(facts, documents - documentsDone, nowMs)
  return {
    run,
    seq,
    ...condition,
    sentence: sentenceOf(condition),
    plannedMs,
    lastProgressMs: Math.max(shards.lastMs ?? 0, plannedMs ?? 0) || undefined,
    version: facts.version?.version,
    model: plan?.recipe.model,
    shards: plan?.shards ?? 0,
    shardsDone: shards.done,
    documents,
    unit: plan?.recipe.chunking ? 'chunk' : 'document',
    documentsDone,
    totals: manifest?.totals,
    baseRun: manifest?.baseRun,
    unfinishedBaseRuns: manifest?.unfinishedBaseRuns,
    speed,
    cost: costOf(facts, queue, documents, documentsDone),
    bottleneck: bottleneckOf(condition.state, queue),
    queue,
  }
}

/** 'paused by ada@build-7: nightly window', 'published as version 3'. */
export const sentenceOf = ({ state, detail = '' }: RunCondition): string =>
  detail === '' ? state : /^(by|as) /.test(detail) ? `${state} ${detail}` : `${state}: ${detail}`

function conditionOf(facts: RunFacts, nowMs: number): RunCondition {
  return (
    recordedCondition(facts) ??
    (facts.plan === undefined
      ? { state: 'planning', sinceMs: facts.plannedMs }
      : facts.manifest
        ? finishedCondition(facts)
        : unfinishedCondition(facts, nowMs))
  )
}

/** The states that a run state record decides. A published run has none of them. */
function recordedCondition({ record, current, run }: RunFacts): RunCondition | undefined {
  const { state, at, by, reason, budgetExceeded, modelReplaced, failure } = record
  const sinceMs = at === undefined ? undefined : Date.parse(at)
  if (state === 'deleting' || state === 'deleted') return { state, sinceMs }
  if (current?.run === run || state === 'running') return undefined
  if (state === 'failed') {
    return {
      state,
      reason: FAILURES[failure?.code ?? 'CORRUPT'] ?? 'corrupt',
      detail: failure?.message,
      sinceMs,
    }
  }
  if (budgetExceeded !== undefined) return { state, reason: 'budget', detail: budgetExceeded, sinceMs }
  if (modelReplaced !== undefined) return { state, reason: 'model_replaced', detail: modelReplaced, sinceMs }
  const detail = [by && `by ${by}`, reason].filter(Boolean).join(': ')
  return { state, reason: 'person', detail, sinceMs }
}

const FAILURES: Readonly<Partial<Record<ErrorCode, StateReason>>> = {
  DUPLICATE_ID: 'duplicate_ids',
  UNBALANCED: 'unbalanced',
  CORRUPT: 'corrupt',
  MODEL_MISMATCH: 'wrong_model',
}

function finishedCondition(facts: RunFacts): RunCondition {
  const { run, plan, manifest, current, version, gates } = facts
  if (current?.run === run) {
    const unjudged = current.unjudgedGates ? `; not judged: ${current.unjudgedGates.join('; ')}` : ''
    const detail = `as version ${current.version}${unjudged}`
    return { state: 'published', detail, sinceMs: current.publishedMs }
  }
  const passedBy = current && `version ${current.version}, of run ${current.run}`
  if (version) {
    const detail = `version ${version.version} was replaced by ${passedBy}`
    return { state: 'replaced', detail, sinceMs: current?.publishedMs }
  }
  if (current && current.seq >= facts.seq)
    return { state: 'superseded', detail: `by ${passedBy}`, sinceMs: current.publishedMs }
  const [exceeded] = manifest && plan ? exceededLimits(manifest.totals, plan) : []
  if (exceeded) return { state: 'held', reason: exceeded.by, detail: exceeded.detail }
  if (gates === undefined && plan?.gates?.length)
    return { state: 'finishing', reason: 'judging', detail: 'its gates are not judged yet' }
  const failed = gates?.results.filter(({ passed }) => !passed) ?? []
  if (failed.length > 0) {
    const detail = failed.map(({ gate, message }) => `gate '${gate}': ${message}`).join('; ')
    return { state: 'held', reason: 'gates', detail }
  }
  return { state: 'finishing', detail: 'the next sweep publishes it' }
}

function unfinishedCondition(facts: RunFacts, nowMs: number): RunCondition {
  const { plan, record, current, shards, queue } = facts
  const missing = (plan?.shards ?? 0) - shards.done
  if (isSuperseded(facts, record, current)) {
    const detail = `by version ${current.version}, of run ${current.run}, before its last ${missing} shards were made`
    return { state: 'superseded', detail, sinceMs: current.publishedMs }
  }
  if (missing <= 0) return { state: 'finishing', reason: 'audit', detail: 'its receipts are not audited yet' }
  const idleMs =
    nowMs - Math.max(shards.lastMs ?? 0, facts.plannedMs ?? 0, Date.parse(facts.record.at ?? '') || 0)
  if (typeof queue === 'string') return { state: 'waiting', reason: 'redis', detail: queue }
  if (queue === undefined) {
    if (idleMs > ABANDONED_MS) return abandoned(idleMs, 'no shard was put')
    return shards.done === 0 ? { state: 'queued' } : { state: 'running' }
  }
  return queueCondition(queue, { missing, idleMs, begun: shards.done > 0 })
}

function queueCondition(
  { jobs, progress, workers, otherWorkers, failures }: QueueFacts,
  { missing, idleMs, begun }: { readonly missing: number; readonly idleMs: number; readonly begun: boolean },
): RunCondition {
  if (jobs.failed >= missing) {
    const [first] = failures
    const which = missing === 1 ? `shard ${first?.shard ?? ''}`.trim() : `all ${missing} missing shards`
    return {
      state: 'failed',
      reason: 'jobs',
      detail: `${which} failed: ${first?.reason ?? 'no job is left'}`,
    }
  }
  if (workers.length === 0) {
    const others = otherWorkers > 0 ? `; ${otherWorkers} workers serve other outputs` : ''
    if (idleMs > ABANDONED_MS) return abandoned(idleMs, `no worker serves this output${others}`)
    return { state: 'waiting', reason: 'no_worker', detail: `no worker serves this output${others}` }
  }
  const impaired = workers.filter(worker => !isWorking(worker))
  const [worst] = impaired
  if (worst && impaired.length === workers.length) {
    const isFault = impaired.every(({ endpoint }) => isOwnFault(endpoint))
    return { state: 'waiting', reason: isFault ? 'worker_fault' : 'endpoint', detail: worst.endpoint }
  }
  if (!begun && progress.openDocuments === 0) return { state: 'queued' }
  return { state: 'running' }
}

/** The text of a worker's heartbeat that states its own fault. */
const isOwnFault = (endpoint: string): boolean => /^(takes no jobs|failing): /.test(endpoint)

const abandoned = (idleMs: number, why: string): RunCondition => ({
  state: 'abandoned',
  detail: `${why}, and nothing has happened for ${Math.floor(idleMs / HOUR_MS)} hours`,
})

function documentsDoneOf({ plan, manifest, shards }: RunFacts, queue: QueueFacts | undefined): number {
  if (manifest) return manifest.totals.documents
  if (!plan) return 0
  const { shards: counted = 0, documents = 0, openDocuments = 0 } = queue?.progress ?? {}
  const progress = { shards: counted, documents, openDocuments }
  return countDocumentsDone({ done: shards.done, total: plan.shards }, progress, estimatedInputs(plan))
}

function speedOf({ plan, manifest, shards }: RunFacts, documentsLeft: number, nowMs: number): RunSpeed {
  const spanMs = Math.min(RECENT_MS, nowMs - (shards.recentSinceMs ?? nowMs))
  // The first shard of the span began before it.
  const counted = shards.recent < shards.done ? shards.recent : shards.recent - 1
  if (manifest || !plan || counted < 1 || spanMs <= 0) return { documentsPerSecond: null, secondsLeft: null }
  const documentsPerSecond = (1000 * counted * estimatedInputs(plan)) / plan.shards / spanMs
  return { documentsPerSecond, secondsLeft: Math.max(0, documentsLeft / documentsPerSecond) }
}

function costOf(
  { plan, manifest }: RunFacts,
  queue: QueueFacts | undefined,
  documents: number,
  documentsDone: number,
): RunCost {
  const quote = plan?.quote
  if (manifest) {
    const tokens = manifest.totals.tokens
    const dollars = manifest.actualCost?.dollars ?? null
    return { tokens, dollars, projectedTokens: tokens, projectedDollars: dollars }
  }
  const perToken = quote?.dollars != null && quote.tokens > 0 ? quote.dollars / quote.tokens : null
  const priced = (tokens: number | null): number | null =>
    tokens === null || perToken === null ? null : tokens * perToken
  const { tokens: counted = 0, documents: countedDocuments = 0 } = queue?.progress ?? {}
  const perDocument = counted > 0 && countedDocuments > 0 ? counted / countedDocuments : null
  const quoted = quote && documents > 0 ? quote.tokens / documents : null
  const rate = perDocument ?? quoted
  const tokens = rate === null ? null : Math.round(rate * documentsDone)
  const projected = rate === null ? null : Math.round(rate * documents)
  return {
    tokens,
    dollars: priced(tokens),
    projectedTokens: projected,
    projectedDollars: priced(projected),
  }
}
