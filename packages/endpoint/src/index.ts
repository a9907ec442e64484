// The public surface of @reembed/endpoint; every other file is private to the package.

export { type AwakeOptions, openAwake } from './awake.ts'
export { type Canary, createCanary, type RequestShape, requestShape } from './canary.ts'
export { type Place, parseAddresses, type Resolve } from './client/addresses.ts'
export { decodeEmbeddings } from './client/decode.ts'
export { type Endpoint, type EndpointOptions, openPlace, type RequestOptions } from './client/endpoint.ts'
export { isAbsence, isOverload, whatWasMet } from './client/failure-kinds.ts'
export type { EndpointInfo } from './client/info.ts'
export { openEndpoint } from './client/open.ts'
export { BLOCKED_MS, type Failure, failureBehind, type Outcome, toError } from './client/outcome.ts'
export { probeEndpoint } from './client/probe.ts'
export type { ReplicaEvent } from './client/replica-event.ts'
export type { ReplicaCounts } from './client/replicas.ts'
export { BYTES_PER_TOKEN, cutToBytes } from './client/text-bytes.ts'
export { type Clock, systemClock } from './clock.ts'
export { connectToReplicas, connectToUrl, type Use } from './connections.ts'
export {
  createHf,
  type DeployRequest,
  HF_API,
  type Hf,
  type HfChange,
  type HfEndpoint,
  type HfName,
  type HfOptions,
  type HfPrice,
  type HfState,
  parseHfName,
} from './hf/api.ts'
export { HUB, type HubOptions, resolveCommit } from './hf/hub.ts'
export { untilChanged, untilRunning, type WaitOptions } from './hf/state.ts'
export {
  assertSameModel,
  checkReference,
  type ModelReference,
  measureReference,
  modelOf,
  referenceTexts,
  settleReference,
} from './identity.ts'
export { firstLimit } from './limiter/first.ts'
export { createLimiter, type Limiter, type LimiterOptions, type Permit } from './limiter/limiter.ts'
export type { Probe } from './limiter/waking.ts'
export { bestOf, type Measured, type MeasureOptions, measure, type Setting, textsOf } from './measure.ts'
export { createTokenMeter, pack, type RequestLimits, requestLimits, type TokenMeter } from './pack.ts'
export { tracedEndpoint } from './trace.ts'
