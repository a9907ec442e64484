// The door to endpoints, whatever they are named by: one URL, or replicas.

import { type Endpoint, type EndpointOptions, openTarget } from './endpoint.ts'
import { parseTargets } from './targets.ts'

/**
 * Opens the endpoint; of several replicas the first that can be opened, which is enough to ask what it is and to embed
 * a few texts. Workers use them all: replicas.ts.
 */
export async function openEndpoint(given: string, options: EndpointOptions = {}): Promise<Endpoint> {
  const targets = await parseTargets(given, options).resolve()
  let failure: unknown
  for (const target of targets) {
    try {
      return await openTarget(target, options)
    } catch (error) {
      if (options.signal?.aborted) throw error
      failure ??= error
    }
  }
  throw failure
}
