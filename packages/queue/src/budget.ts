// What all workers together have used of a run's limits, in Redis. Each worker writes its own sum, never a difference:
// said twice, or said again after Redis forgot, it is still right. What is in the shards of the store is the
// baseline, which the first worker at an empty budget reads from there; `epoch` names that baseline.
//
//   {reembed}:run:<run>:budget   hash: epoch, baseline, baselineMs, busyMs, lastEntryAt, w:<worker> -> its tokens beyond
//                                 the baseline
//
// Times are Redis' own. Endpoint time is counted while entries come in at most GAP_MS apart.

import { Redis } from 'ioredis'
import { REDIS_PREFIX } from './names.ts'
import { type RedisTarget, redisOptions, secureUrlOf } from './redis.ts'

export interface BudgetUsage {
  readonly tokens: number
  readonly seconds: number
}

export interface BudgetEntry {
  readonly run: string
  readonly worker: string
  /** The baseline that `heldTokens` is beyond, as last heard. */
  readonly epoch: string
  /** Tokens of this worker that are in no shard of the baseline: used, and kept free for jobs under way. */
  readonly heldTokens: number
  /** What it wants to add to them. */
  readonly requestedTokens: number
  /** Nothing is granted beyond these; none if not given. */
  readonly maxTokens?: number | undefined
  readonly maxEndpointSeconds?: number | undefined
}

export interface Budget extends AsyncDisposable {
  /**
   * Writes the entry and grants what is wanted, if it fits. Nothing is written under another epoch: then `epoch` is
   * the one that holds, or null where the budget is empty and needs a baseline.
   * @throws when Redis is silent
   */
  reserve(entry: BudgetEntry): Promise<{ epoch: string | null; granted: boolean; used: BudgetUsage }>
  /** Gives an empty budget its baseline; later calls find that of the first. */
  initialize(run: string, epoch: string, baseline: BudgetUsage): Promise<void>
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
  const redis = new Redis(secureUrlOf(target), {
    ...redisOptions,
    maxRetriesPerRequest: 0,
    commandTimeout: ANSWER_MS,
    connectTimeout: ANSWER_MS,
    scripts: {
      reembedReserve: { lua: RESERVE, numberOfKeys: 1 },
      reembedInitialize: { lua: INITIALIZE, numberOfKeys: 1 },
    },
  }) as Scripted
  redis.on('error', () => {})
  const keyOf = (run: string): string => `${REDIS_PREFIX}:run:${run}:budget`

  return {
    async reserve({ run, worker, epoch, heldTokens, requestedTokens, maxTokens = -1, maxEndpointSeconds }) {
      const [found, granted, tokens, ms] = await redis.reembedReserve(
        keyOf(run),
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
    async initialize(run, epoch, { tokens, seconds }) {
      await redis.reembedInitialize(keyOf(run), epoch, tokens, Math.round(1000 * seconds), KEEP_SECONDS)
    },
    async [Symbol.asyncDispose]() {
      redis.disconnect()
    },
  }
}
