// The public surface of @reembed/endpoint; every other file is private to the package.

export { openProber as openAwake, type ProberOptions as AwakeOptions } from './awake.ts'
export { type Canary, createCanary, type RequestShape, requestShape } from './canary.ts'
export {
  type EndpointTarget as Place,
  parseTargets as parseAddresses,
  type Resolve,
} from './client/addresses.ts'
export { decodeEmbeddings } from './client/decode.ts'
export {
  type Endpoint,
  type EndpointOptions,
  openTarget as openPlace,
  type RequestOptions,
} from './client/endpoint.ts'
export {
  isOverload,
  isUnavailable as isAbsence,
  unavailableReason as whatWasMet,
} from './client/failure-kinds.ts'
export type { EndpointInfo } from './client/info.ts'
export { openEndpoint } from './client/open.ts'
export {
  type Failure,
  failureBehind,
  MODEL_RECHECK_MS as BLOCKED_MS,
  type Outcome,
  toError,
} from './client/outcome.ts'
export { probeEndpoint } from './client/probe.ts'
export type { ReplicaEvent } from './client/replica-event.ts'
export type { ReplicaCounts } from './client/replicas.ts'
export { MAX_BYTES_PER_TOKEN as BYTES_PER_TOKEN, truncateToBytes as cutToBytes } from './client/text-bytes.ts'
export { type Clock, systemClock } from './clock.ts'
export { connectToReplicas, connectToUrl, type EndpointHandle as Use } from './connections.ts'
export {
  createHf,
  type DeployRequest,
  HF_API,
  type Hf,
  type HfEndpoint,
  type HfName,
  type HfOptions,
  type HfPrice,
  type HfState,
  type HfUpdate as HfChange,
  parseHfName,
} from './hf/api.ts'
export { HUB, type HubOptions, resolveCommit } from './hf/hub.ts'
export {
  type WaitOptions,
  waitForChange as untilChanged,
  waitUntilRunning as untilRunning,
} from './hf/state.ts'
export {
  assertSameModel,
  checkReference,
  computeReference as measureReference,
  ensureReference as settleReference,
  type ModelReference,
  modelOf,
  referenceTexts,
} from './identity.ts'
export { initialLimit as firstLimit } from './limiter/first.ts'
export { createLimiter, type Limiter, type LimiterOptions, type Permit } from './limiter/limiter.ts'
export type { EndpointProbe as Probe } from './limiter/waking.ts'
export {
  type BenchmarkOptions as MeasureOptions,
  type BenchmarkResult as Measured,
  type BenchmarkSetting as Setting,
  benchmarkEndpoint as measure,
  bestResult as bestOf,
  generateTexts as textsOf,
} from './measure.ts'
export {
  createTokenEstimator as createTokenMeter,
  pack,
  type RequestLimits,
  requestLimits,
  type TokenEstimator as TokenMeter,
} from './pack.ts'
export { tracedEndpoint } from './trace.ts'
