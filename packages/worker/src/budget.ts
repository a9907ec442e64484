// Enforces the budget of a run: no worker starts a job or sends a request that would exceed it.
//
//   job starts    reserves tokens for a whole shard, so that no shard is abandoned halfway
//   each request  uses the reservation; beyond it, reserves more for this request alone
//   job ends      returns the unused part
//
// When a reservation is refused, the worker pauses the run in the store, with the reason; jobs in
// flight continue within their reservations.

import { randomUUID } from 'node:crypto'
import type { Endpoint } from '@reembed/endpoint'
import { intervalOf, type Plan, type RunBudget, unionMs } from '@reembed/protocol'
import type { Budget, BudgetUsage } from '@reembed/queue'
import { readReceipt } from '@reembed/shard'
import { mapConcurrent, messageOf, ReembedError, shardOfKey, shardPrefix } from '@reembed/shared'
import type { Store } from '@reembed/store'

export interface JobBudget extends AsyncDisposable {
  /**
   * Wraps the endpoint so that each request stays within the budget. Its `request` @throws
   * ReembedError RUN_STOPPED
   */
  metered(endpoint: Endpoint): Endpoint
}

export interface JobBudgets extends AsyncDisposable {
  /**
   * Reserves the tokens of a shard. @throws ReembedError RUN_STOPPED when the budget has none left
   */
  reserve(of: { readonly store: Store; readonly plan: Plan }, budget: RunBudget): Promise<JobBudget>
}

/**
 * Endpoint time passes while a job waits for the endpoint, so it is reported without requests too.
 */
const BEAT_MS = 2_000
const RECEIPTS_AT_ONCE = 16
/** Assumption before the first reply with a token count. */
const CHARS_PER_TOKEN = 4
/** Margin of a reservation: shards have equal bytes, so some have more tokens than the average. */
const ROOM = 1.1

/** Reserves room in the budgets of runs for the jobs of one worker. */
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
  /** Granted tokens. */
  reserved: number
  /** Requested and not granted yet. */
  pending: number
  /** Counted by the server. */
  used: number
  /** Estimate for the requests without a reply. */
  inFlight: number
  /** Resolves at the next reply. */
  answered: PromiseWithResolvers<void>
}

function createRunMeter(runBudgets: Budget, worker: string, store: Store, plan: Plan): RunMeter {
  const of = { output: store.url, run: plan.run }
  const jobs = new Set<JobUsage>()
  const shardTokens = plan.quote ? (ROOM * plan.quote.tokens) / plan.shards : 0
  let epoch = ''
  /**
   * Tokens of jobs that ended since the baseline was read; and of those that ended since the last
   * report.
   */
  let ended = 0
  let endedSinceEntry = 0
  let charsPerToken = CHARS_PER_TOKEN
  let heartbeat: NodeJS.Timeout | undefined

  const held = (): number =>
    ended +
    [...jobs].reduce((sum, { reserved, pending, used }) => sum + Math.max(reserved, used) + pending, 0)

  /**
   * Reports this worker's tokens and requests `requestedTokens`, which must be part of a job's
   * `pending`.
   */
  async function updateBudget(requestedTokens: number, { maxTokens, maxEndpointSeconds }: RunBudget) {
    while (true) {
      const heldTokens = held() - requestedTokens
      const limits = { maxTokens, maxEndpointSeconds }
      const entry = { ...of, worker, epoch, heldTokens, requestedTokens, ...limits }
      const said = endedSinceEntry
      const answer = await runBudgets.reserve(entry)
      if (answer.epoch === entry.epoch) {
        endedSinceEntry -= Math.min(said, endedSinceEntry)
        return answer
      }
      if (answer.epoch === null) {
        await runBudgets.initialize(of, randomUUID(), await usedFor(store, plan))
      } else if (answer.epoch !== epoch) {
        epoch = answer.epoch
        // The baseline holds the jobs that ended before the last report: it was read after Redis
        // had lost that report.
        ended = endedSinceEntry
      }
    }
  }

  /**
   * @throws ReembedError RUN_STOPPED when the budget is exceeded; REDIS_UNREACHABLE (requeue) when
   * Redis fails
   */
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
        `cannot read the budget of run ${plan.run} from Redis (${messageOf(error)}): check Redis`,
        { retry: 'requeue', cause: error },
      )
    } finally {
      job.pending -= wanted
    }
  }

  function meter(job: JobUsage, budget: RunBudget, endpoint: Endpoint): Endpoint['request'] {
    return async (texts, ...rest) => {
      const characters = texts.reduce((sum, text) => sum + text.length, 0)
      // Integers, so that adding and subtracting an estimate leaves exactly 0.
      const guess = (): number => Math.ceil(characters / charsPerToken)
      const beyond = (): number => Math.max(0, job.used + job.inFlight + guess() - job.reserved - job.pending)
      // Replies in flight may use less than estimated, so more is reserved only when none is left.
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

/** The usage stated by the receipts in the store: the baseline after Redis lost its state. */
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
    // A carried shard was paid by the run that made it.
    if (receipt.run !== run) continue
    tokens += receipt.tokens ?? 0
    const interval = intervalOf(receipt)
    if (interval) intervals.push(interval)
  }
  return { tokens, seconds: unionMs(intervals) / 1000 }
}

function reasonOf({ maxTokens, maxEndpointSeconds }: RunBudget, { tokens, seconds }: BudgetUsage): string {
  const count = (n: number): string => Math.round(n).toLocaleString('en-US')
  return maxEndpointSeconds !== undefined && seconds >= maxEndpointSeconds
    ? `it used its endpoint for ${count(seconds)} s of at most ${count(maxEndpointSeconds)} s: raise the cost budget to continue`
    : `${count(tokens)} of at most ${count(maxTokens ?? 0)} tokens are used or reserved by jobs in flight: raise the token budget to continue`
}
