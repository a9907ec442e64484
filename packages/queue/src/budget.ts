// The usage of a run's budget by all workers together, in Redis. Each worker writes its own total
// and never a difference, so a write is idempotent and correct after Redis lost its data. The
// baseline is the usage in the receipts of the store: the first worker at an empty budget reads it
// from there. `epoch` identifies the baseline.
//
//   {reembed}:run:<run key>:budget   hash: epoch, baseline, baselineMs, busyMs, lastEntryAt,
//                                    w:<worker> -> its tokens beyond the baseline
//
// Times are those of Redis. Endpoint time is counted while entries arrive at most GAP_MS apart.

import type { Redis } from 'ioredis'
import type { RunPointer } from './job.ts'
import { REDIS_PREFIX, runKey } from './names.ts'
import { type RedisTarget, secureUrlOf } from './redis.ts'
import { openClient } from './redis-client.ts'

/** Usage of a budget: tokens as the server counts them, and seconds of endpoint time. */
export interface BudgetUsage {
  readonly tokens: number
  readonly seconds: number
}

/** A request for tokens of a budget. */
export interface BudgetEntry extends RunPointer {
  readonly worker: string
  /** The last known epoch; `heldTokens` is relative to its baseline. */
  readonly epoch: string
  /** Tokens of this worker beyond the baseline: used, or reserved for jobs in progress. */
  readonly heldTokens: number
  /** Tokens to add to `heldTokens`. */
  readonly requestedTokens: number
  /** Limits of the grant. Undefined means no limit. */
  readonly maxTokens?: number | undefined
  readonly maxEndpointSeconds?: number | undefined
}

/** Access to the budgets of all runs in one Redis. */
export interface Budget extends AsyncDisposable {
  /**
   * Writes the entry, and grants the requested tokens if the limits permit them. If the entry's
   * epoch is outdated, nothing is written; the returned `epoch` is then the current one, or null if
   * the budget is empty and needs a baseline.
   * @throws an error of ioredis if Redis does not answer
   */
  reserve(entry: BudgetEntry): Promise<{ epoch: string | null; granted: boolean; used: BudgetUsage }>
  /** Sets the baseline of an empty budget. Idempotent: the first call wins. */
  initialize(of: RunPointer, epoch: string, baseline: BudgetUsage): Promise<void>
}

const KEEP_SECONDS = 7 * 24 * 3600
const GAP_MS = 10_000
const ANSWER_MS = 2_000

const RESERVE = `
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch ~= ARGV[1] then return { epoch or '', 0, 0, 0 } end
local field, held, requested = 'w:' .. ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local maxTokens, maxMs = tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lastEntryAt = tonumber(redis.call('HGET', KEYS[1], 'lastEntryAt') or 0)
if now - lastEntryAt <= tonumber(ARGV[7]) then redis.call('HINCRBY', KEYS[1], 'busyMs', now - lastEntryAt) end
redis.call('HSET', KEYS[1], 'lastEntryAt', now, field, held)
local tokens, ms = 0, 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local name, value = all[i], tonumber(all[i + 1])
  if name == 'baseline' or string.sub(name, 1, 2) == 'w:' then tokens = tokens + value end
  if name == 'baselineMs' or name == 'busyMs' then ms = ms + value end
end
local granted = 0
if (maxTokens < 0 or tokens + requested <= maxTokens) and (maxMs < 0 or ms < maxMs) then
  granted = 1
  tokens = tokens + requested
  redis.call('HSET', KEYS[1], field, held + requested)
end
redis.call('EXPIRE', KEYS[1], ARGV[8])
return { epoch, granted, tokens, ms }
`

const INITIALIZE = `
if redis.call('HSETNX', KEYS[1], 'epoch', ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'baseline', ARGV[2], 'baselineMs', ARGV[3], 'busyMs', 0)
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
`

interface Scripted extends Redis {
  reembedReserve(...args: (string | number)[]): Promise<readonly [string, number, number, number]>
  reembedInitialize(...args: (string | number)[]): Promise<number>
}

export function openBudget(target: RedisTarget): Budget {
  const redis = openClient(secureUrlOf(target), {
    maxRetriesPerRequest: 0,
    commandTimeout: ANSWER_MS,
    connectTimeout: ANSWER_MS,
    scripts: {
      reembedReserve: { lua: RESERVE, numberOfKeys: 1 },
      reembedInitialize: { lua: INITIALIZE, numberOfKeys: 1 },
    },
  }) as Scripted
  redis.on('error', () => {})
  const keyOf = (of: RunPointer): string => `${REDIS_PREFIX}:run:${runKey(of)}:budget`

  return {
    async reserve({
      output,
      run,
      worker,
      epoch,
      heldTokens,
      requestedTokens,
      maxTokens = -1,
      maxEndpointSeconds,
    }) {
      const [found, granted, tokens, ms] = await redis.reembedReserve(
        keyOf({ output, run }),
        epoch,
        worker,
        Math.ceil(heldTokens),
        Math.ceil(requestedTokens),
        maxTokens,
        maxEndpointSeconds === undefined ? -1 : 1000 * maxEndpointSeconds,
        GAP_MS,
        KEEP_SECONDS,
      )
      return {
        epoch: found === '' ? null : found,
        granted: granted === 1,
        used: { tokens, seconds: ms / 1000 },
      }
    },
    async initialize(of, epoch, { tokens, seconds }) {
      await redis.reembedInitialize(keyOf(of), epoch, tokens, Math.round(1000 * seconds), KEEP_SECONDS)
    },
    async [Symbol.asyncDispose]() {
      redis.disconnect()
    },
  }
}
