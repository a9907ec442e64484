// The names that reembed uses in Redis.

/** BullMQ refuses ':' and pure digits in job ids. */
export const jobId = (run: string, shard: number): string => `${run}-${shard}`

/** Name of the embed queue, and the prefix of all our Redis keys: a hash tag, so a cluster keeps them in one slot. */
export const QUEUE = 'embed'
export const REDIS_PREFIX = '{reembed}'
