export { type Endpoint, type EndpointOptions, openEndpoint, type RequestOptions } from './endpoint.ts'
export type { EndpointInfo } from './info.ts'
export { type Answered, BLOCKED_MS, type Failure, type Outcome, toError } from './outcome.ts'
export { cosine, normOf } from './vectors.ts'
