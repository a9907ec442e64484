// Local stand-ins for one machine: a private Redis, and a TEI-compatible server with a real model.
// This file is the public surface of @reembed/local; every other file is private to the package.

export { type LocalEndpoint, startEndpoint } from './endpoint.ts'
export { freePort } from './port.ts'
export { type LocalRedis, type StartRedisOptions, startRedis } from './redis.ts'
export { readJson } from './tei/body.ts'
export type { Encoding, Engine, EngineModel } from './tei/engine.ts'
export { HttpRejection } from './tei/errors.ts'
export type { TeiFlags } from './tei/flags.ts'
export { createHashEngine, type HashEngineOptions, hashVector } from './tei/hash-engine.ts'
export type { StartEndpointOptions } from './tei/protocol.ts'
export {
  type ReceivedRequest,
  type Reply,
  type ReplyOverride,
  type ServeTeiOptions,
  serveTei,
  type TeiServer,
  writeReply,
} from './tei/server.ts'
