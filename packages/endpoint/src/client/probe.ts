// Is anybody there? One text to the endpoint, without knowing anything of it yet. The proxy of HF Inference Endpoints
// is asked to hold the request while it wakes a replica, so that one request does for many.

import { messageOf, ReembedError } from '@reembed/shared'
import { type Place, parseAddresses } from './addresses.ts'
import type { EndpointOptions } from './endpoint.ts'
import type { Failure } from './outcome.ts'
import { post } from './server.ts'
import { parseAddress } from './url.ts'
import { openWire } from './wire.ts'

const HOLD_S = 60
/** How soon to look again where only a person can mend it. */
const PERSON_MS: Partial<Record<Failure['kind'], number>> = { paused: 15_000, denied: 60_000 }

interface Met {
  readonly met: string
  readonly afterMs?: number | undefined
}

/**
 * Null when the endpoint answers, whatever it answers; else what was met instead, and when to look again at the
 * earliest. Takes up to a minute where the endpoint is being woken. Of several replicas one answer is enough.
 */
export async function probeEndpoint(
  given: string,
  options: EndpointOptions,
  isAbsence: (failure: Failure) => boolean,
  signal: AbortSignal,
): Promise<Met | null> {
  const enough = new AbortController()
  const stop = AbortSignal.any([signal, enough.signal])
  try {
    const places = await parseAddresses(given, options).find()
    const probes = places.map(place => probePlace(place, options, isAbsence, stop))
    const answered = new Promise<null>(resolve => {
      for (const probe of probes) probe.then(met => met === null && resolve(null)).catch(() => {})
    })
    return await Promise.race([answered, Promise.all(probes).then(([met = null]) => met)])
  } catch (error) {
    if (signal.aborted || !(error instanceof ReembedError)) throw error
    return { met: messageOf(error) }
  } finally {
    enough.abort()
  }
}

async function probePlace(
  { url, at }: Place,
  { token, model, allowInsecure = false }: EndpointOptions,
  isAbsence: (failure: Failure) => boolean,
  signal: AbortSignal,
): Promise<Met | null> {
  const address = parseAddress(url, token, allowInsecure)
  await using wire = openWire(address.origin, {
    headers: [
      ...['user-agent', 'reembed', 'x-scale-up-timeout', `${HOLD_S}`],
      ...(token ? ['authorization', `Bearer ${token}`] : []),
    ],
    connections: 1,
    at,
  })
  const server = { wire, ...address, model, truncate: true, timeoutMs: (HOLD_S + 5) * 1000 }
  const outcome = await post(server, '/v1/embeddings', ['are you there?'], signal, () => null)
  if (outcome === null || !isAbsence(outcome)) return null
  const { kind, message, afterMs } = outcome
  return { met: kind === 'cold' ? 'warming' : message, afterMs: afterMs ?? PERSON_MS[kind] }
}
