// The jobs of a run that have no attempts left, and the attempts of one job.

import { LIMITS } from '@reembed/shared'
import type { Redis } from 'ioredis'
import { readFields } from './bounded-reads.ts'
import { idsOf } from './counts.ts'
import type { Job, RunPointer } from './job.ts'
import { jobId, queueKey, shardOfJobId } from './names.ts'

/** A job without attempts left, with its last error. */
export interface FailedJob extends Job {
  readonly reason: string
}

/** The ids of a run's failed jobs, newest first. */
export const readFailedIds = async (redis: Redis, queue: string, of: RunPointer): Promise<string[]> =>
  idsOf(of, await redis.zrevrange(queueKey('failed', queue), 0, LIMITS.listedJobs - 1))

/** Reads the newest failed jobs of a run, at most `limit`. */
export async function readFailures(
  redis: Redis,
  queue: string,
  of: RunPointer,
  limit: number,
): Promise<FailedJob[]> {
  const ids = (await readFailedIds(redis, queue, of)).slice(0, limit)
  const reasons = await Promise.all(ids.map(id => readFields(redis, queueKey(id, queue), ['failedReason'])))
  return ids.map((id, i) => ({ ...of, shard: shardOfJobId(id), reason: reasons[i]?.[0] ?? '' }))
}

/** The attempts of a job that the queue holds. */
export interface JobAttempts {
  /** How often a worker took the job. */
  readonly started: number
  /** Attempts that count: overload, cold starts and faults of a worker do not. */
  readonly counted: number
  /** The last error, also of a job that is tried again. */
  readonly lastError: string | undefined
}

/** Undefined for a job that the queue does not hold: it is done, or was never enqueued. */
export async function readAttempts(redis: Redis, queue: string, job: Job): Promise<JobAttempts | undefined> {
  // The fields of BullMQ 6: attempts started, attempts made, and the error of the last one.
  const key = queueKey(jobId(job), queue)
  const [name, started, counted, error] = await readFields(redis, key, ['name', 'ats', 'atm', 'failedReason'])
  if (name == null) return undefined
  return { started: Number(started ?? 0), counted: Number(counted ?? 0), lastError: error ?? undefined }
}
