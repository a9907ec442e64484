// A faithful fake TEI for tests: of this project, and of whoever writes a client.

export type { Clock } from '../tei/clock.ts'
export { hashVector } from '../tei/hash-engine.ts'
export { createFastClock, createManualClock, type ManualClock } from './clock.ts'
export { type Fault, htmlPage } from './fault.ts'
export type { Forwarded } from './gateway.ts'
export { type FakeHf, type FakeHfOptions, startFakeHf } from './hf-api.ts'
export type { Scaling } from './hf-autoscaler.ts'
export {
  type FakeHfEndpoint,
  type FakeHfEndpointOptions,
  type HfState,
  startFakeHfEndpoint,
} from './hf-endpoint.ts'
export { type LoadBalancer, type LoadBalancerOptions, startLoadBalancer } from './load-balancer.ts'
export type { FakeModelOptions, ModelFaults } from './model.ts'
export { type FakeTei, type FakeTeiFaults, type FakeTeiOptions, startFakeTei } from './tei.ts'
