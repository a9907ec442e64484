// The public surface of @reembed/limiter; every other file is private to the package.

export { initialLimit } from './initial-limit.ts'
export { createLimiter, type Limiter, type Permit } from './limiter.ts'
export type { EndpointProbe } from './probe-loop.ts'
