// The limit coordinator in Redis, shared by all workers that have the same endpoint URL. A report
// is one call of one script, so it is atomic. Times are those of Redis, so clocks of machines are
// not compared.
//
//   {reembed}:limit:<id>            hash: sums of the window, state, round, steppedAt, unavailableReason, unavailableSince,
//                                   prober, probingUntil
//   {reembed}:limit:<id>:members    sorted set: worker -> end of its membership
//   {reembed}:limit:<id>:peaks      hash: worker -> maximum inputs in flight in its last window
//
// A member's name is '<queue> <worker>'. Each queue with demand gets the same part of the limit,
// however many workers it has, and its workers get the same part of that.

import { idOf, LIMITS } from '@reembed/shared'
import type { Redis } from 'ioredis'
import {
  LIMIT_COORDINATOR_DEFAULTS,
  type LimitCoordinator,
  type LimitCoordinatorOptions,
  type LimitView,
  type WindowSums,
} from './limit-coordinator.ts'
import { REDIS_PREFIX } from './names.ts'
import { queueOf, type RedisTarget, secureUrlOf } from './redis.ts'
import { openClient } from './redis-client.ts'

const SUMS = ['replies', 'inputs', 'refusals', 'unavailable', 'queueMs', 'inferenceMs'] as const

/** Keys expire a day after the last report. */
const KEEP_SECONDS = 24 * 3600
/** A call without an answer after this time fails. */
const ANSWER_MS = 1_000

const REPORT = `
local limit, members, peaks = KEYS[1], KEYS[2], KEYS[3]
local worker, hasDemand, peakInFlight, state, unavailableReason, canProbe = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local windowMs, minOutcomes, memberTtlMs, keep = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), ARGV[10]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- Another program wrote a value that no worker writes.
for _, field in ipairs({ 'state', 'unavailableReason' }) do
  if redis.call('HSTRLEN', limit, field) > ${LIMITS.redisFieldBytes} then redis.call('DEL', limit) end
end
if redis.call('HEXISTS', limit, 'state') == 0 then
  redis.call('HSET', limit, 'state', state, 'unavailableReason', unavailableReason, 'unavailableSince', now, 'steppedAt', now)
end

for _, gone in ipairs(redis.call('ZRANGEBYSCORE', members, '-inf', now)) do
  redis.call('ZREM', members, gone)
  redis.call('HDEL', peaks, gone)
end
if hasDemand == '1' then
  redis.call('ZADD', members, now + memberTtlMs, worker)
  redis.call('HSET', peaks, worker, peakInFlight)
else
  redis.call('ZREM', members, worker)
  redis.call('HDEL', peaks, worker)
end
local own = string.match(worker, '^%S*')
local count, queues, isCounted = 0, { 0, 0 }, {}
local workers = { 0, 0 }
for _, name in ipairs(redis.call('ZRANGE', members, 0, -1)) do
  local queue = string.match(name, '^%S*')
  count = count + 1
  if not isCounted[queue] then
    isCounted[queue] = true
    queues[1] = queues[1] + 1
    if queue < own then queues[2] = queues[2] + 1 end
  end
  if queue == own then
    workers[1] = workers[1] + 1
    if name < worker then workers[2] = workers[2] + 1 end
  end
end

local names = {${SUMS.map(name => `'${name}'`).join(', ')}}
local sums = {}
for i, name in ipairs(names) do
  sums[i] = redis.call('HINCRBY', limit, name, ARGV[10 + i])
end

local last = redis.call('HMGET', limit, 'state', 'unavailableReason', 'unavailableSince', 'steppedAt', 'round', 'prober', 'probingUntil')
local replies, refusals, unavailable = sums[1], sums[3], sums[4]
local isBack = last[2] ~= '' and replies > 0
local isUnavailable = last[2] == '' and replies == 0 and unavailable > 0
local enough = isUnavailable or replies + refusals + unavailable >= minOutcomes
local ms = now - last[4]
local round = tonumber(last[5] or 0)
local window = {}
if isBack or (ms >= windowMs and enough) then
  local total = 0
  for _, each in ipairs(redis.call('HVALS', peaks)) do total = total + each end
  window = { ms, total, unpack(sums) }
  round = round + 1
  redis.call('HDEL', limit, unpack(names))
  redis.call('HSET', limit, 'round', round, 'steppedAt', now)
end

local isProber = 0
if last[2] ~= '' and canProbe == '1' and (last[6] == worker or tonumber(last[7] or 0) <= now) then
  isProber = 1
  redis.call('HSET', limit, 'prober', worker, 'probingUntil', now + memberTtlMs)
  -- The prober has the latest failure reason.
  if unavailableReason ~= '' then
    redis.call('HSET', limit, 'unavailableReason', unavailableReason)
    last[2] = unavailableReason
  end
end
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, keep) end
return { last[1], last[2], now - last[3], count, queues, workers, round, isProber, window }
`

const COMMIT = `
local round, state, unavailableReason = ARGV[1], ARGV[2], ARGV[3]
if redis.call('HGET', KEYS[1], 'round') ~= round then return 0 end
if unavailableReason ~= '' and redis.call('HGET', KEYS[1], 'unavailableReason') == '' then
  local time = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'unavailableSince', time[1] * 1000 + math.floor(time[2] / 1000))
end
if unavailableReason == '' then redis.call('HDEL', KEYS[1], 'prober', 'probingUntil') end
redis.call('HSET', KEYS[1], 'state', state, 'unavailableReason', unavailableReason)
return 1
`

type Counted = readonly [count: number, index: number]
type Reply = readonly [string, string, number, number, Counted, Counted, number, number, readonly number[]]

interface Scripted extends Redis {
  reembedReport(...args: (string | number)[]): Promise<Reply>
  reembedCommit(...args: (string | number)[]): Promise<number>
}

/**
 * Opens the coordinator of all workers on `redisUrl` that use `endpoint`. Opening never throws:
 * while Redis is unreachable, each `report` fails at once or within a second.
 */
export function openLimitCoordinator(
  target: RedisTarget,
  endpoint: string,
  {
    windowMs = LIMIT_COORDINATOR_DEFAULTS.windowMs,
    minOutcomes = LIMIT_COORDINATOR_DEFAULTS.minOutcomes,
    memberTtlMs = LIMIT_COORDINATOR_DEFAULTS.memberTtlMs,
  }: LimitCoordinatorOptions = {},
): LimitCoordinator {
  const queue = queueOf(target)
  const limit = `${REDIS_PREFIX}:limit:${idOf(endpoint)}`
  const keys = [limit, `${limit}:members`, `${limit}:peaks`]
  const redis = openClient(secureUrlOf(target), {
    // A report that cannot be sent now is outdated later.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    commandTimeout: ANSWER_MS,
    connectTimeout: 2 * ANSWER_MS,
    retryStrategy: times => Math.min(50 * 2 ** times, 1_000),
    scripts: {
      reembedReport: { lua: REPORT, numberOfKeys: 3 },
      reembedCommit: { lua: COMMIT, numberOfKeys: 1 },
    },
  }) as Scripted
  redis.on('error', () => {})
  // The first report may precede the connection. A server that accepts connections and stays silent
  // causes neither event.
  const connected = new Promise<void>(resolve => {
    redis.once('ready', resolve)
    redis.once('close', resolve)
    setTimeout(resolve, ANSWER_MS).unref()
  })

  return {
    async report({ worker, hasDemand, peakInFlight, lastCommit, canProbe, sums }) {
      await connected
      const [state, reason, unavailableMs, members, queues, workers, round, isProber, window] =
        await redis.reembedReport(
          ...keys,
          `${queue} ${worker}`,
          hasDemand ? 1 : 0,
          Math.round(peakInFlight),
          JSON.stringify(lastCommit.state),
          lastCommit.unavailable ?? '',
          canProbe ? 1 : 0,
          windowMs,
          minOutcomes,
          memberTtlMs,
          KEEP_SECONDS,
          ...SUMS.map(name => Math.round(sums[name])),
        )
      return {
        state: JSON.parse(state),
        unavailable: reason === '' ? null : reason,
        unavailableMs: reason === '' ? 0 : unavailableMs,
        members,
        ...partOf(queues, workers),
        round,
        isProber: isProber === 1,
        window: windowOf(window),
      }
    },
    async commit(round, { state, unavailable }) {
      await redis.reembedCommit(limit, round, JSON.stringify(state), unavailable ?? '')
    },
    async [Symbol.asyncDispose]() {
      redis.disconnect()
    },
  }
}

/**
 * The part of a worker: of equal parts, as many as queues times workers of its queue. The parts of
 * queue q are those whose index modulo the number of queues is q, so the parts of all workers add
 * up to the limit.
 */
const partOf = ([queues, queue]: Counted, [workers, worker]: Counted): Pick<LimitView, 'parts' | 'part'> => ({
  parts: Math.max(1, queues * workers),
  part: worker * queues + queue,
})

function windowOf([ms, peakInFlight, ...values]: readonly number[]): LimitView['window'] {
  if (ms === undefined || peakInFlight === undefined) return null
  const sums = Object.fromEntries(SUMS.map((name, i) => [name, values[i] ?? 0])) as unknown as WindowSums
  return { ...sums, ms, peakInFlight }
}
