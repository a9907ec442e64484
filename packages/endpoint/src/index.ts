// The public surface of @reembed/endpoint; every other file is private to the package.

export { type Canary, createCanary, type RequestShape, requestShape } from './canary.ts'
export { decodeEmbeddings } from './client/decode.ts'
export { type Endpoint, type EndpointOptions, openTarget, type RequestOptions } from './client/endpoint.ts'
export { isOverload, isRefusal, isUnavailable, unavailableReason } from './client/failure-kinds.ts'
export type { EndpointInfo, EndpointLimits } from './client/info.ts'
export { openEndpoint } from './client/open.ts'
export {
  type Failure,
  failureBehind,
  isColdStart,
  MODEL_RECHECK_MS,
  type Outcome,
  toError,
} from './client/outcome.ts'
export { probeEndpoint } from './client/probe.ts'
export type { ReplicaEvent } from './client/replica-event.ts'
export { REPLICA_STATES, type ReplicaStatus } from './client/replicas.ts'
export { type EndpointTarget, parseTargets, type Resolve } from './client/targets.ts'
export { MAX_BYTES_PER_TOKEN, truncateToBytes } from './client/text-bytes.ts'
export { connectToReplicas, connectToUrl, type EndpointHandle } from './connections.ts'
export {
  createHf,
  type DeployRequest,
  type Hf,
  type HfEndpoint,
  type HfName,
  type HfOptions,
  type HfPrice,
  type HfState,
  type HfUpdate,
  parseHfName,
} from './hf/api.ts'
export { type WaitOptions, waitForChange, waitUntilRunning } from './hf/state.ts'
export { assertSameModel, computeReference, ensureReference, modelOf } from './identity.ts'
export { createTokenEstimator, pack, type RequestLimits, type TokenEstimator } from './pack.ts'
export { openProber, type ProberOptions } from './prober.ts'
export { createRequestSizes, probeRequestTokens, type RequestSizes } from './request-sizes.ts'
export {
  checkEndpointExists,
  type EndpointResolver,
  type ResolvedEndpoint,
  type ResolveOptions,
  resolveEndpoint,
  resolveGiven,
} from './resolve.ts'
export { tracedEndpoint } from './trace.ts'
