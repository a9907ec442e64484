// Probes an endpoint with one text, without opening it. The header `x-scale-up-timeout` makes the
// proxy of HF Inference Endpoints hold the request while it starts a replica, so that one request
// is enough.

import { messageOf, ReembedError } from '@reembed/shared'
import type { EndpointOptions } from './endpoint.ts'
import { isUnavailable } from './failure-kinds.ts'
import type { Failure } from './outcome.ts'
import { post, type Server } from './server.ts'
import { type EndpointTarget, parseTargets } from './targets.ts'
import { openTransport } from './transport.ts'
import { parseAddress } from './url.ts'

const HOLD_S = 60
/** Delay until the next probe where an operator must act. */
const REPROBE_MS: Partial<Record<Failure['kind'], number>> = { paused: 15_000, access_denied: 60_000 }

interface ProbeFailure {
  readonly reason: string
  readonly afterMs?: number | undefined
}

/**
 * Resolves with null when the endpoint answers with anything that is not unavailability; else with
 * the reason and the earliest time of the next probe. Takes up to a minute during a cold start. Of
 * several replicas one answer is enough.
 */
export async function probeEndpoint(
  given: string,
  options: EndpointOptions,
  signal: AbortSignal,
): Promise<ProbeFailure | null> {
  const enough = new AbortController()
  const stop = AbortSignal.any([signal, enough.signal])
  try {
    const targets = await parseTargets(given, options).resolve()
    const probes = targets.map(target => probeTarget(target, options, stop))
    const answered = new Promise<null>(resolve => {
      for (const probe of probes) probe.then(met => met === null && resolve(null)).catch(() => {})
    })
    return await Promise.race([answered, Promise.all(probes).then(([met = null]) => met)])
  } catch (error) {
    if (signal.aborted || !(error instanceof ReembedError)) throw error
    return { reason: messageOf(error) }
  } finally {
    enough.abort()
  }
}

async function probeTarget(
  { url, address }: EndpointTarget,
  { token, model, allowInsecure = false }: EndpointOptions,
  signal: AbortSignal,
): Promise<ProbeFailure | null> {
  const parsed = parseAddress(url, token, allowInsecure)
  await using transport = openTransport(parsed.origin, {
    headers: [
      ...['user-agent', 'reembed', 'x-scale-up-timeout', `${HOLD_S}`],
      ...(token ? ['authorization', `Bearer ${token}`] : []),
    ],
    connections: 1,
    address,
  })
  const server: Server = {
    transport,
    ...parsed,
    encoding: 'base64',
    model,
    truncate: true,
    timeoutMs: (HOLD_S + 5) * 1000,
  }
  const outcome = await post(server, '/v1/embeddings', ['are you there?'], signal, () => null)
  if (outcome === null || !isUnavailable(outcome)) return null
  const { kind, message, afterMs } = outcome
  return { reason: kind === 'cold_start' ? 'warming' : message, afterMs: afterMs ?? REPROBE_MS[kind] }
}
