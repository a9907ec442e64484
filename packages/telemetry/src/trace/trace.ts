// One trace a job: from being put on the queue, over each of its attempts, to every request at the endpoint, which
// gets the trace's context in its headers. Off unless the standard OTEL_* variables ask for it; then no library is
// loaded, `tracing()` is undefined, and callers do what they would have done.

import { ReembedError } from '@reembed/shared'
import type { Environment, OtlpProtocol, Tracer, TracingOptions } from './types.ts'

let current: Tracer | undefined

/** The tracer of this process, if traces are on. */
export const tracing = (): Tracer | undefined => current

/**
 * Turns traces on for this process where the variables ask for it. Disposal sends what is left, for at most 3 s.
 * @param env `process.env`: the exporter reads URL, headers, certificates and timeouts there by itself
 * @throws ReembedError USAGE for a way of sending that we don't have
 */
export async function openTracing(
  env: Environment,
  options: TracingOptions,
): Promise<AsyncDisposable | undefined> {
  if (!areWanted(env)) return undefined
  const wire = wireOf(env)
  const { openTracer } = await import('./otel.ts')
  const { tracer, close } = openTracer(env, wire, options)
  current = tracer
  return {
    async [Symbol.asyncDispose]() {
      current = undefined
      await close()
    },
  }
}

/** OpenTelemetry's own default is to send to localhost; ours is to send only where somebody said so. */
function areWanted(env: Environment): boolean {
  if (env.OTEL_SDK_DISABLED?.toLowerCase() === 'true') return false
  if (env.OTEL_TRACES_EXPORTER) return env.OTEL_TRACES_EXPORTER !== 'none'
  return Boolean(env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT || env.OTEL_EXPORTER_OTLP_ENDPOINT)
}

function wireOf(env: Environment): OtlpProtocol {
  const exporter = env.OTEL_TRACES_EXPORTER || 'otlp'
  if (exporter !== 'otlp') throw unknown('OTEL_TRACES_EXPORTER', exporter, 'otlp or none')
  const [name, wire] = env.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL
    ? ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', env.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL]
    : ['OTEL_EXPORTER_OTLP_PROTOCOL', env.OTEL_EXPORTER_OTLP_PROTOCOL || 'http/protobuf']
  if (wire === 'http/protobuf' || wire === 'http/json') return wire
  throw unknown(name, wire, 'http/protobuf or http/json (port 4318 of most collectors)')
}

const unknown = (name: string, value: string, known: string): ReembedError =>
  new ReembedError('USAGE', `expected ${name} to be ${known}, got '${value}'`)
