export { type LocalRedis, type StartRedisOptions, startRedis } from './redis.ts'
