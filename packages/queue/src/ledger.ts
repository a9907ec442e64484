// What all workers together have used of a run's limits, in Redis. Each worker writes its own sum, never a difference:
// said twice, or said again after Redis forgot, it is still right. What is in the shards of the store is the base,
// which whoever comes first into an empty ledger reads from there; `epoch` names that base.
//
//   {reembed}:run:<run>:spent   hash: epoch, base, baseMs, busyMs, beatAt, w:<worker> -> its tokens beyond the base
//
// Times are Redis' own. Endpoint time is counted while entries come in at most GAP_MS apart.

import { Redis } from 'ioredis'
import { REDIS_PREFIX } from './names.ts'
import { redisOptions } from './redis.ts'

export interface Spent {
  readonly tokens: number
  readonly seconds: number
}

export interface LedgerEntry {
  readonly run: string
  readonly worker: string
  /** The base that `own` is beyond, as last heard. */
  readonly epoch: string
  /** Tokens of this worker that are in no shard of the base: used, and kept free for jobs under way. */
  readonly own: number
  /** What it wants to add to them. */
  readonly wanted: number
  /** Nothing is granted beyond these; none if not given. */
  readonly maxTokens?: number | undefined
  readonly maxSeconds?: number | undefined
}

export interface Ledger extends AsyncDisposable {
  /**
   * Writes the entry and grants what is wanted, if it fits. Nothing is written under another epoch: then `epoch` is
   * the one that holds, or null where the ledger is empty and wants a base.
   * @throws when Redis is silent
   */
  enter(entry: LedgerEntry): Promise<{ epoch: string | null; granted: boolean; spent: Spent }>
  /** Gives an empty ledger its base; whoever comes later finds that of the first. */
  begin(run: string, epoch: string, base: Spent): Promise<void>
}

const KEEP_SECONDS = 7 * 24 * 3600
const GAP_MS = 10_000
const ANSWER_MS = 2_000

const ENTER = `
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch ~= ARGV[1] then return { epoch or '', 0, 0, 0 } end
local field, own, wanted = 'w:' .. ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local maxTokens, maxMs = tonumber(ARGV[5]), tonumber(ARGV[6])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local beatAt = tonumber(redis.call('HGET', KEYS[1], 'beatAt') or 0)
if now - beatAt <= tonumber(ARGV[7]) then redis.call('HINCRBY', KEYS[1], 'busyMs', now - beatAt) end
redis.call('HSET', KEYS[1], 'beatAt', now, field, own)
local tokens, ms = 0, 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local name, value = all[i], tonumber(all[i + 1])
  if name == 'base' or string.sub(name, 1, 2) == 'w:' then tokens = tokens + value end
  if name == 'baseMs' or name == 'busyMs' then ms = ms + value end
end
local granted = 0
if (maxTokens < 0 or tokens + wanted <= maxTokens) and (maxMs < 0 or ms < maxMs) then
  granted = 1
  tokens = tokens + wanted
  redis.call('HSET', KEYS[1], field, own + wanted)
end
redis.call('EXPIRE', KEYS[1], ARGV[8])
return { epoch, granted, tokens, ms }
`

const BEGIN = `
if redis.call('HSETNX', KEYS[1], 'epoch', ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'base', ARGV[2], 'baseMs', ARGV[3], 'busyMs', 0)
redis.call('EXPIRE', KEYS[1], ARGV[4])
return 1
`

interface Scripted extends Redis {
  reembedEnter(...args: (string | number)[]): Promise<readonly [string, number, number, number]>
  reembedBegin(...args: (string | number)[]): Promise<number>
}

export function openLedger(redisUrl: string): Ledger {
  const redis = new Redis(redisUrl, {
    ...redisOptions,
    maxRetriesPerRequest: 0,
    commandTimeout: ANSWER_MS,
    connectTimeout: ANSWER_MS,
    scripts: {
      reembedEnter: { lua: ENTER, numberOfKeys: 1 },
      reembedBegin: { lua: BEGIN, numberOfKeys: 1 },
    },
  }) as Scripted
  redis.on('error', () => {})
  const keyOf = (run: string): string => `${REDIS_PREFIX}:run:${run}:spent`

  return {
    async enter({ run, worker, epoch, own, wanted, maxTokens = -1, maxSeconds }) {
      const [found, granted, tokens, ms] = await redis.reembedEnter(
        keyOf(run),
        epoch,
        worker,
        Math.ceil(own),
        Math.ceil(wanted),
        maxTokens,
        maxSeconds === undefined ? -1 : 1000 * maxSeconds,
        GAP_MS,
        KEEP_SECONDS,
      )
      return {
        epoch: found === '' ? null : found,
        granted: granted === 1,
        spent: { tokens, seconds: ms / 1000 },
      }
    },
    async begin(run, epoch, { tokens, seconds }) {
      await redis.reembedBegin(keyOf(run), epoch, tokens, Math.round(1000 * seconds), KEEP_SECONDS)
    },
    async [Symbol.asyncDispose]() {
      redis.disconnect()
    },
  }
}
