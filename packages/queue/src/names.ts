// Key names in Redis.

/** Returns the BullMQ id of a job. BullMQ refuses ':' and ids of digits only. */
export const jobId = (run: string, shard: number): string => `${run}-${shard}`

/** Name of the queue. */
export const QUEUE = 'embed'
/** Prefix of all Redis keys. It is a hash tag, so all keys have one cluster slot. */
export const REDIS_PREFIX = '{reembed}'
