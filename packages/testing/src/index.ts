/**
 * Fakes for tests: TEI servers, Hugging Face Inference Endpoints, an S3 server and clocks. They
 * speak real HTTP on a free loopback port, in the process of the test, and need no network.
 *
 * This file is the public surface of @reembed/testing; every other file is private to the package.
 *
 * @module
 * @example
 * ```ts
 * import { startFakeTei } from '@reembed/testing'
 *
 * await using tei = await startFakeTei({ dimensions: 8 })
 * // The first request is refused as overloaded.
 * tei.faults.request = ({ number }) =>
 *   number === 1 ? { kind: 'reply', reply: { status: 429, text: 'overloaded' } } : undefined
 * const embed = { method: 'POST', body: JSON.stringify({ inputs: ['a text'] }) }
 * const statuses = [await fetch(`${tei.url}/embed`, embed), await fetch(`${tei.url}/embed`, embed)]
 * console.log(statuses.map(({ status }) => status)) // [429, 200]
 * ```
 */

export {
  type OpenaiServer,
  type OpenaiServerOptions,
  openaiTokensOf,
  startOpenaiServer,
} from './endpoint/openai-server.ts'
export {
  base64,
  type Call,
  DIMENSIONS,
  INFO,
  openaiReply,
  type Script,
  type ScriptedEndpoint,
  sendError,
  sendJson,
  startScriptedEndpoint,
  tokensOf,
  vectorOf,
} from './endpoint/scripted-endpoint.ts'
export { type FaultyLink, type FaultyLinkOptions, type LinkFault, startFaultyLink } from './faulty-link.ts'
export {
  type S3Fault,
  type S3Request,
  type S3Server,
  type S3ServerOptions,
  startS3Server,
} from './s3/s3-server.ts'
export { createSimulatedClock, seeded } from './simulated-clock.ts'
export { createFastClock, createManualClock, type ManualClock } from './tei/clock.ts'
export { type Fault, htmlPage } from './tei/fault.ts'
export type { ProxiedRequest } from './tei/gateway.ts'
export { type FakeHf, type FakeHfOptions, startFakeHf } from './tei/hf-api.ts'
export type { Scaling } from './tei/hf-autoscaler.ts'
export {
  type FakeHfEndpoint,
  type FakeHfEndpointOptions,
  type HfState,
  startFakeHfEndpoint,
} from './tei/hf-endpoint.ts'
export { type LoadBalancer, type LoadBalancerOptions, startLoadBalancer } from './tei/load-balancer.ts'
export type { FakeModelOptions, ModelFaults } from './tei/model.ts'
export { type FakeTei, type FakeTeiFaults, type FakeTeiOptions, startFakeTei } from './tei/tei.ts'
