// The order in which workers take jobs. BullMQ's list of waiting jobs is first in, first out over
// all runs, and any worker takes the first job, also of an output that it does not serve. Therefore
// jobs wait in an index of our own, and each worker picks from it:
//
//   {reembed}:<queue>:ready   sorted set of job ids, all with score 0, so Redis sorts them by name:
//                             by output, run and shard
//   {reembed}:<queue>:turn    hash: run, the run key of the last job taken; sorted, the number of
//                             jobs that entered the index
//
// A pick takes the first job of the first run behind `turn.run` whose output the worker serves:
// runs take turns, job by job. It steps over the outputs that the worker does not serve, and over
// the runs that it leaves alone (run-backoff.ts), so its cost is O((outputs + runs) · log jobs).
// BullMQ adds, requeues and promotes jobs to its own list; each pick first moves that list into the
// index. Then it puts the picked job back at the end from which BullMQ takes, in one transaction
// with BullMQ's own script, which locks the job.

import { LIMITS } from '@reembed/shared'
import type { Redis } from 'ioredis'

/** Moves BullMQ's waiting jobs into the index. An id that no job of reembed has is dropped. */
const SORT = `
local function sort(wait, ready, turn)
  while true do
    local ids = redis.call('LPOP', wait, 1000)
    if not ids or #ids == 0 then return end
    local members = {}
    for _, id in ipairs(ids) do
      if #id <= ${LIMITS.jobIdBytes} then
        members[#members + 1] = 0
        members[#members + 1] = id
      end
    end
    if #members > 0 then redis.call('ZADD', ready, unpack(members)) end
    redis.call('HINCRBY', turn, 'sorted', #ids)
  end
end
`

/**
 * Of a job id: the output id and the run key; nil for the id of a job that another program added.
 * '/' follows '.' in ASCII, so '<run key>/' is behind every job of the run.
 */
const PARTS = `
local function partsOf(id)
  local output, run = string.match(id, '^([^.]+)%.([^.]+)%.%d+$')
  if output then return output, output .. '.' .. run end
  return nil, id
end
local function behindOutput(id, output)
  if output then return '[' .. output .. '/' end
  return '(' .. id
end
local function firstFrom(ready, from)
  return redis.call('ZRANGEBYLEX', ready, from, '+', 'LIMIT', 0, 1)[1]
end
`

/** BullMQ stores a job in fewer than 25. */
const MAX_JOB_FIELDS = 64

/**
 * Whether one of the outputs that the worker serves is, or contains, the output of a job; nil for a
 * job that was removed. An invalid job is served: the worker that takes it fails it. One that is
 * too large is served as well, and the second result is true: the pick removes it. The arguments
 * from ARGV[first] on are: the number of runs to skip, their keys, the outputs.
 */
const SERVED = `
local function outputsFrom(first)
  local skipped, last = {}, first + tonumber(ARGV[first])
  for i = first + 1, last do skipped[ARGV[i]] = true end
  return skipped, last + 1
end
local function isTooLarge(prefix, id)
  if #id > ${LIMITS.jobIdBytes} then return true end
  local key = prefix .. id
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'hash' then return kind ~= 'none' end
  if redis.call('HLEN', key) > ${MAX_JOB_FIELDS} then return true end
  local bytes = 0
  for _, field in ipairs(redis.call('HKEYS', key)) do
    bytes = bytes + #field + redis.call('HSTRLEN', key, field)
  end
  return bytes > ${LIMITS.jobBytes}
end
local function isServed(prefix, id, first)
  if isTooLarge(prefix, id) then return true, true end
  local data = redis.call('HGET', prefix .. id, 'data')
  if not data then return nil end
  local isJson, job = pcall(cjson.decode, data)
  if not isJson or type(job) ~= 'table' or type(job.output) ~= 'string' then return true end
  for i = first, #ARGV do
    local served = ARGV[i]
    if job.output == served or string.sub(job.output, 1, #served + 1) == served .. '/' then return true end
  end
  return false
end
`

/** Removed jobs that a pick names. */
const MAX_REMOVED = 10

// BullMQ wakes one blocked worker per added job. If that worker serves none of the waiting jobs, it
// wakes the next one, once per change of the index, so that a wake-up always ends.
//
// A job that is too large, which another program wrote, is removed with its hash: a sweep then
// enqueues its shard again. The reply is the number of jobs that entered the index, and the ids of
// removed jobs.
export const PICK: string = `
${SORT}${PARTS}${SERVED}
local wait, ready, turn, marker = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local prefix, seen = ARGV[1], ARGV[2]
local skipped, outputs = outputsFrom(3)
sort(wait, ready, turn)
local last, sorted = unpack(redis.call('HMGET', turn, 'run', 'sorted'))
local removed = {}
local from, wrapped = '-', true
if last then from, wrapped = '[' .. last .. '/', false end
while true do
  local id = firstFrom(ready, from)
  if id then
    local output, run = partsOf(id)
    if wrapped and last and run > last then break end
    local served, tooLarge = isServed(prefix, id, outputs)
    if tooLarge then
      redis.call('ZREM', ready, id)
      -- Only the key of a job: another id could name a list of the queue.
      if output then redis.call('DEL', prefix .. id) end
      if #removed < ${MAX_REMOVED} then removed[#removed + 1] = string.sub(id, 1, ${LIMITS.jobIdBytes}) end
    elseif served and skipped[run] then
      from = '[' .. run .. '/'
    elseif served then
      redis.call('ZREM', ready, id)
      redis.call('RPUSH', wait, id)
      redis.call('HSET', turn, 'run', run)
      return { sorted, removed }
    end
    if served == nil then
      redis.call('ZREM', ready, id)
    elseif not served then
      from = behindOutput(id, output)
    end
  elseif wrapped then
    break
  else
    from, wrapped = '-', true
  end
end
if sorted and sorted ~= seen and redis.call('ZCARD', ready) > 0 then redis.call('ZADD', marker, 0, '0') end
return { sorted or '', removed }
`

/** Counts the jobs that a worker could take now. */
const COUNT = `
${PARTS}${SERVED}
local wait, ready, prefix = KEYS[1], KEYS[2], ARGV[1]
local skipped, outputs = outputsFrom(2)
local count, from = redis.call('LLEN', wait), '-'
while true do
  local id = firstFrom(ready, from)
  if not id then return count end
  local output, run = partsOf(id)
  if not isServed(prefix, id, outputs) then
    from = behindOutput(id, output)
  elseif not output then
    count, from = count + 1, '(' .. id
  else
    if not skipped[run] then count = count + redis.call('ZLEXCOUNT', ready, '[' .. id, '(' .. run .. '/') end
    from = '[' .. run .. '/'
  end
end
`

const ENTER = `${SORT}
sort(KEYS[1], KEYS[2], KEYS[3])
return 1
`

interface Scripted {
  /** Moves BullMQ's waiting jobs into the index. Keys: wait, ready, turn. */
  reembedSort(...keys: string[]): Promise<number>
  /**
   * Counts the jobs of the given outputs. Keys: wait, ready; then the key prefix, the number of
   * runs to skip, their keys, the outputs.
   */
  reembedCount(...args: (string | number)[]): Promise<number>
}

/** Defines the scripts of the index on a connection. */
export function withReadyScripts<Client extends Redis>(redis: Client): Client & Scripted {
  redis.defineCommand('reembedSort', { lua: ENTER, numberOfKeys: 3 })
  redis.defineCommand('reembedCount', { lua: COUNT, numberOfKeys: 2 })
  return redis as Client & Scripted
}
