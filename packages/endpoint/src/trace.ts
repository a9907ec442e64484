// A span per request, by OpenTelemetry's semantic conventions for generative AI. The headers carry
// the trace context; a TEI with an OTLP endpoint continues the trace. A span never holds texts or
// access tokens.

import { type Attributes, type Tracer, tracing } from '@reembed/telemetry'
import type { Endpoint } from './client/endpoint.ts'
import type { Outcome } from './client/outcome.ts'

/** Wraps an endpoint so that each request is a span; returns it unchanged when tracing is off. */
export function tracedEndpoint(endpoint: Endpoint, tracer: Tracer | undefined = tracing()): Endpoint {
  if (tracer === undefined) return endpoint
  const { info } = endpoint
  // A replica found by name is shown as 'http://tei:8080 (10.1.2.3)'.
  const [url = '', at] = endpoint.url.split(/[ ()]+/)
  const { hostname, port, protocol } = new URL(url)
  const attributes: Attributes = {
    'gen_ai.operation.name': 'embeddings',
    // OpenTelemetry's list has only services; the kind of server is more useful than `_OTHER`.
    'gen_ai.provider.name': info.kind,
    'gen_ai.request.model': info.modelId,
    'gen_ai.embeddings.dimension.count': info.dimensions,
    'server.address': hostname,
    'server.port': Number(port) || (protocol === 'https:' ? 443 : 80),
    'network.peer.address': at || undefined,
  }
  return Object.assign(Object.create(endpoint) as Endpoint, {
    async request(...[texts, vectors, options]: Parameters<Endpoint['request']>) {
      const span = tracer.start(`embeddings ${info.modelId}`, {
        kind: 'client',
        attributes: { ...attributes, 'reembed.request.texts': texts.length },
      })
      try {
        const outcome = await endpoint.request(texts, vectors, { ...options, headers: span.headers })
        if (outcome.kind === 'ok') span.set(answered(outcome))
        else {
          span.set({ 'http.response.status_code': outcome.status })
          span.fail(outcome.kind, outcome.message)
        }
        return outcome
      } catch (error) {
        span.fail('aborted', 'aborted by the worker')
        throw error
      } finally {
        span.end()
      }
    },
  })
}

const answered = ({
  tokens,
  queueMs,
  inferenceMs,
  badRows,
}: Extract<Outcome, { kind: 'ok' }>): Attributes => ({
  'http.response.status_code': 200,
  'gen_ai.usage.input_tokens': tokens ?? undefined,
  'reembed.request.queue_ms': queueMs ?? undefined,
  'reembed.request.inference_ms': inferenceMs ?? undefined,
  'reembed.request.invalid_vectors': badRows.length || undefined,
})
