// A run with limits: no job is begun and no request is sent that would go over them, whoever else works on it.
//
//   job begins    room for a whole shard is asked for, so that no shard is left half made for lack of room
//   each request  draws on that room; beyond it, room is asked for again, for this request alone
//   job ends      what was not needed is given back
//
// Refused, the run is paused in the store, with the reason; jobs under way go on within the room that they have.

import { randomUUID } from 'node:crypto'
import type { Endpoint } from '@reembed/endpoint'
import { intervalOf, type Plan, type RunBudget, unionMs } from '@reembed/protocol'
import type { Budget, BudgetUsage } from '@reembed/queue'
import { readReceipt } from '@reembed/shard'
import { mapConcurrent, messageOf, ReembedError, shardOfKey, shardPrefix } from '@reembed/shared'
import type { Store } from '@reembed/store'

export interface JobBudget extends AsyncDisposable {
  /** The endpoint, sending only what there is room for. @throws ReembedError RUN_STOPPED from its `request` */
  metered(endpoint: Endpoint): Endpoint
}

export interface JobBudgets extends AsyncDisposable {
  /** @throws ReembedError RUN_STOPPED where there is no room for another shard */
  reserve(of: { readonly store: Store; readonly plan: Plan }, budget: RunBudget): Promise<JobBudget>
}

/** Endpoint time passes without requests too, while a job waits for the endpoint. */
const BEAT_MS = 2_000
const RECEIPTS_AT_ONCE = 16
/** For what a request will be counted as, before the first one is. */
const CHARS_PER_TOKEN = 4
/** Shards are cut by bytes, so some hold more tokens than others. */
const ROOM = 1.1

export function createJobBudgets(openBudget: () => Budget, worker: string): JobBudgets {
  let runBudgets: Budget | undefined
  const runs = new Map<string, RunMeter>()
  return {
    reserve({ store, plan }, budget) {
      runBudgets ??= openBudget()
      const name = `${store.url} ${plan.run}`
      const run = runs.get(name) ?? createRunMeter(runBudgets, worker, store, plan)
      runs.set(name, run)
      return run.reserve(budget)
    },
    async [Symbol.asyncDispose]() {
      await runBudgets?.[Symbol.asyncDispose]()
    },
  }
}

interface RunMeter {
  reserve(budget: RunBudget): Promise<JobBudget>
}

/** Tokens of one job. `used + inFlight` never grows beyond `reserved + pending`. */
interface JobUsage {
  /** What was granted for it. */
  reserved: number
  /** What is being asked for. */
  pending: number
  /** As counted by the server. */
  used: number
  /** What requests that were not answered yet may come to. */
  inFlight: number
  /** Resolves when the next request was answered. */
  answered: PromiseWithResolvers<void>
}

function createRunMeter(runBudgets: Budget, worker: string, store: Store, plan: Plan): RunMeter {
  const jobs = new Set<JobUsage>()
  const shardTokens = plan.quote ? (ROOM * plan.quote.tokens) / plan.shards : 0
  let epoch = ''
  /** Used by jobs that ended since the baseline was read, and of these by those that ended since the last entry. */
  let ended = 0
  let endedSinceEntry = 0
  let charsPerToken = CHARS_PER_TOKEN
  let heartbeat: NodeJS.Timeout | undefined

  const held = (): number =>
    ended +
    [...jobs].reduce((sum, { reserved, pending, used }) => sum + Math.max(reserved, used) + pending, 0)

  /** One entry with no wish of its own, unless `requestedTokens`, which must stand in some job's `pending`. */
  async function updateBudget(requestedTokens: number, { maxTokens, maxEndpointSeconds }: RunBudget) {
    while (true) {
      const heldTokens = held() - requestedTokens
      const limits = { maxTokens, maxEndpointSeconds }
      const entry = { run: plan.run, worker, epoch, heldTokens, requestedTokens, ...limits }
      const said = endedSinceEntry
      const answer = await runBudgets.reserve(entry)
      if (answer.epoch === entry.epoch) {
        endedSinceEntry -= Math.min(said, endedSinceEntry)
        return answer
      }
      if (answer.epoch === null) {
        await runBudgets.initialize(plan.run, randomUUID(), await usedFor(store, plan))
      } else if (answer.epoch !== epoch) {
        epoch = answer.epoch
        // What ended before the last entry is in the baseline: that was read after Redis had forgotten the entry.
        ended = endedSinceEntry
      }
    }
  }

  /** @throws ReembedError RUN_STOPPED if it does not fit; REDIS_UNREACHABLE, to be tried later, when nobody can say. */
  async function requestTokens(job: JobUsage, wanted: number, budget: RunBudget): Promise<void> {
    job.pending += wanted
    try {
      const { granted, used } = await updateBudget(wanted, budget)
      if (!granted) throw new ReembedError('RUN_STOPPED', reasonOf(budget, used))
      job.reserved += wanted
    } catch (error) {
      if (error instanceof ReembedError) throw error
      throw new ReembedError(
        'REDIS_UNREACHABLE',
        `what run ${plan.run} has used of its limits cannot be asked: ${messageOf(error)}`,
        { retry: 'requeue', cause: error },
      )
    } finally {
      job.pending -= wanted
    }
  }

  function meter(job: JobUsage, budget: RunBudget, endpoint: Endpoint): Endpoint['request'] {
    return async (texts, ...rest) => {
      const characters = texts.reduce((sum, text) => sum + text.length, 0)
      // Whole numbers, so that what is taken off again leaves nothing.
      const guess = (): number => Math.ceil(characters / charsPerToken)
      const beyond = (): number => Math.max(0, job.used + job.inFlight + guess() - job.reserved - job.pending)
      // What is under way may turn out to be less: more room is asked for only when that is known.
      while (beyond() > 0 && job.inFlight > 0) await job.answered.promise
      const wanted = beyond()
      const estimate = guess()
      job.inFlight += estimate
      try {
        if (wanted > 0 || budget.maxEndpointSeconds !== undefined) await requestTokens(job, wanted, budget)
        const outcome = await endpoint.request(texts, ...rest)
        if (outcome.kind === 'ok') {
          job.used += outcome.tokens ?? estimate
          if (outcome.tokens) charsPerToken = characters / outcome.tokens
        }
        return outcome
      } finally {
        job.inFlight -= estimate
        job.answered.resolve()
        job.answered = Promise.withResolvers()
      }
    }
  }

  return {
    async reserve(budget) {
      const job: JobUsage = {
        reserved: 0,
        pending: 0,
        used: 0,
        inFlight: 0,
        answered: Promise.withResolvers(),
      }
      jobs.add(job)
      heartbeat ??= setInterval(() => updateBudget(0, {}).catch(() => {}), BEAT_MS).unref()
      const end = async (): Promise<void> => {
        if (!jobs.delete(job)) return
        ended += job.used
        endedSinceEntry += job.used
        if (jobs.size === 0) {
          clearInterval(heartbeat)
          heartbeat = undefined
        }
        await updateBudget(0, {}).catch(() => {})
      }
      try {
        await requestTokens(job, shardTokens, budget)
      } catch (error) {
        await end()
        throw error
      }
      return {
        metered: endpoint =>
          Object.assign(Object.create(endpoint) as Endpoint, { request: meter(job, budget, endpoint) }),
        [Symbol.asyncDispose]: end,
      }
    },
  }
}

/** What the shards in the store took. */
async function usedFor(store: Store, { run, shards }: Plan): Promise<BudgetUsage> {
  async function* keys(): AsyncGenerator<string, void, undefined> {
    for await (const { key } of store.list(shardPrefix(run))) {
      if (shardOfKey(key, run, shards) !== undefined) yield key
    }
  }
  let tokens = 0
  const intervals: (readonly [number, number])[] = []
  const receipts = mapConcurrent(keys(), key => readReceipt(store, key), { concurrency: RECEIPTS_AT_ONCE })
  for await (const { receipt } of receipts) {
    tokens += receipt.tokens ?? 0
    const interval = intervalOf(receipt)
    if (interval) intervals.push(interval)
  }
  return { tokens, seconds: unionMs(intervals) / 1000 }
}

function reasonOf({ maxTokens, maxEndpointSeconds }: RunBudget, { tokens, seconds }: BudgetUsage): string {
  const count = (n: number): string => Math.round(n).toLocaleString('en-US')
  return maxEndpointSeconds !== undefined && seconds >= maxEndpointSeconds
    ? `it may use its endpoint for ${count(maxEndpointSeconds)} s, and has for ${count(seconds)} s`
    : `it may take ${count(maxTokens ?? 0)} tokens, ${count(tokens)} are used or kept for jobs under way`
}
