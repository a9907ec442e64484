// The board in Redis, shared by all workers that name the same endpoint. One call of one script per report, so no
// two workers ever see half of another's. Times are Redis' own: no two machines' clocks are compared.
//
//   {reembed}:limit:<id>            hash: sums of the window, turn, state, away, prober
//   {reembed}:limit:<id>:workers    sorted set: worker -> until when it counts
//   {reembed}:limit:<id>:peaks      hash: worker -> most inputs in flight in its last window

import { idOf } from '@reembed/shared'
import { Redis } from 'ioredis'
import { BOARD_DEFAULTS, type Board, type BoardOptions, type Sums, type View } from './board.ts'
import { REDIS_PREFIX } from './names.ts'
import { redisOptions } from './redis.ts'

const SUMS = ['replies', 'inputs', 'refusals', 'absences', 'queueMs', 'inferenceMs'] as const

/** Forgotten a day after the last report. */
const KEEP_SECONDS = 24 * 3600
/** A board that answers later than this counts as silent. */
const ANSWER_MS = 1_000

const REPORT = `
local board, workers, peaks = KEYS[1], KEYS[2], KEYS[3]
local worker, demand, peak, state, away, canProbe = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local windowMs, endings, expiryMs, keep = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if redis.call('HEXISTS', board, 'state') == 0 then
  redis.call('HSET', board, 'state', state, 'away', away, 'awaySince', now, 'steppedAt', now)
end

for _, gone in ipairs(redis.call('ZRANGEBYSCORE', workers, '-inf', now)) do
  redis.call('ZREM', workers, gone)
  redis.call('HDEL', peaks, gone)
end
if demand == '1' then
  redis.call('ZADD', workers, now + expiryMs, worker)
  redis.call('HSET', peaks, worker, peak)
else
  redis.call('ZREM', workers, worker)
  redis.call('HDEL', peaks, worker)
end
local count, place = 0, 0
for _, name in ipairs(redis.call('ZRANGE', workers, 0, -1)) do
  count = count + 1
  if name < worker then place = place + 1 end
end

local names = {${SUMS.map(name => `'${name}'`).join(', ')}}
local sums = {}
for i, name in ipairs(names) do
  sums[i] = redis.call('HINCRBY', board, name, ARGV[10 + i])
end

local known = redis.call('HMGET', board, 'state', 'away', 'awaySince', 'steppedAt', 'turn', 'prober', 'probingUntil')
local replies, refusals, absences = sums[1], sums[3], sums[4]
local isBack = known[2] ~= '' and replies > 0
local isGone = known[2] == '' and replies == 0 and absences > 0
local enough = isGone or replies + refusals + absences >= endings
local ms = now - known[4]
local turn = tonumber(known[5] or 0)
local step = {}
if isBack or (ms >= windowMs and enough) then
  local peakOfAll = 0
  for _, each in ipairs(redis.call('HVALS', peaks)) do peakOfAll = peakOfAll + each end
  step = { ms, peakOfAll, unpack(sums) }
  turn = turn + 1
  redis.call('HDEL', board, unpack(names))
  redis.call('HSET', board, 'turn', turn, 'steppedAt', now)
end

local prober = 0
if known[2] ~= '' and canProbe == '1' and (known[6] == worker or tonumber(known[7] or 0) <= now) then
  prober = 1
  redis.call('HSET', board, 'prober', worker, 'probingUntil', now + expiryMs)
  -- Who looks knows best why.
  if away ~= '' then
    redis.call('HSET', board, 'away', away)
    known[2] = away
  end
end
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, keep) end
return { known[1], known[2], now - known[3], count, place, turn, prober, step }
`

const SETTLE = `
local turn, state, away = ARGV[1], ARGV[2], ARGV[3]
if redis.call('HGET', KEYS[1], 'turn') ~= turn then return 0 end
if away ~= '' and redis.call('HGET', KEYS[1], 'away') == '' then
  local time = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'awaySince', time[1] * 1000 + math.floor(time[2] / 1000))
end
if away == '' then redis.call('HDEL', KEYS[1], 'prober', 'probingUntil') end
redis.call('HSET', KEYS[1], 'state', state, 'away', away)
return 1
`

type Reply = readonly [string, string, number, number, number, number, number, readonly number[]]

interface Scripted extends Redis {
  reembedReport(...args: (string | number)[]): Promise<Reply>
  reembedSettle(...args: (string | number)[]): Promise<number>
}

/**
 * The board of all workers on `redisUrl` that use `endpoint`. Never throws itself: while Redis is away, each `report`
 * fails at once or within a second.
 */
export function openBoard(
  redisUrl: string,
  endpoint: string,
  {
    windowMs = BOARD_DEFAULTS.windowMs,
    endings = BOARD_DEFAULTS.endings,
    expiryMs = BOARD_DEFAULTS.expiryMs,
  }: BoardOptions = {},
): Board {
  const board = `${REDIS_PREFIX}:limit:${idOf(endpoint)}`
  const keys = [board, `${board}:workers`, `${board}:peaks`]
  const redis = new Redis(redisUrl, {
    ...redisOptions,
    // What cannot be said now is of no use later.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: ANSWER_MS,
    connectTimeout: 2 * ANSWER_MS,
    retryStrategy: times => Math.min(50 * 2 ** times, 1_000),
    scripts: {
      reembedReport: { lua: REPORT, numberOfKeys: 3 },
      reembedSettle: { lua: SETTLE, numberOfKeys: 1 },
    },
  }) as Scripted
  redis.on('error', () => {})
  // The first report may come before the connection stands.
  const connected = new Promise<void>(resolve => {
    redis.once('ready', resolve)
    redis.once('close', resolve)
  })

  return {
    async report({ worker, demand, peak, known, canProbe, sums }) {
      await connected
      const [state, away, awayMs, workers, place, turn, prober, step] = await redis.reembedReport(
        ...keys,
        worker,
        demand ? 1 : 0,
        Math.round(peak),
        JSON.stringify(known.state),
        known.away ?? '',
        canProbe ? 1 : 0,
        windowMs,
        endings,
        expiryMs,
        KEEP_SECONDS,
        ...SUMS.map(name => Math.round(sums[name])),
      )
      return {
        state: JSON.parse(state),
        away: away === '' ? null : away,
        awayMs: away === '' ? 0 : awayMs,
        workers,
        place,
        turn,
        prober: prober === 1,
        step: stepOf(step),
      }
    },
    async settle(turn, { state, away }) {
      await redis.reembedSettle(board, turn, JSON.stringify(state), away ?? '')
    },
    async [Symbol.asyncDispose]() {
      redis.disconnect()
    },
  }
}

function stepOf([ms, peak, ...values]: readonly number[]): View['step'] {
  if (ms === undefined || peak === undefined) return null
  const sums = Object.fromEntries(SUMS.map((name, i) => [name, values[i] ?? 0])) as unknown as Sums
  return { ...sums, ms, peak }
}
