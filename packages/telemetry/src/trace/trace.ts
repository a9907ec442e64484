// One trace per job: from the enqueue, through each attempt, to every request to the endpoint,
// which carries the trace context in its headers. Tracing is off unless the standard OTEL_*
// variables enable it. While it is off, no tracing library is loaded and `tracing()` returns
// undefined.

import { ReembedError } from '@reembed/shared'
import type { Environment, OtlpProtocol, Tracer, TracingOptions } from './types.ts'

let current: Tracer | undefined

/** Returns the tracer of this process, or undefined while tracing is off. */
export const tracing = (): Tracer | undefined => current

/**
 * Turns tracing on for this process if the variables enable it; else returns undefined. Disposal
 * sends the remaining spans, for at most 3 s.
 * @param env `process.env`: the exporter itself reads URL, headers, certificates and timeouts there
 * @throws ReembedError USAGE for an unsupported exporter, protocol or sampler
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

/**
 * OpenTelemetry's default is to export to localhost. Here a variable must name the exporter or
 * endpoint.
 */
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
