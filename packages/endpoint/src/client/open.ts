// The door to endpoints, whatever they are named by: one URL, or replicas.

import { parseAddresses } from './addresses.ts'
import { type Endpoint, type EndpointOptions, openPlace } from './endpoint.ts'

/**
 * Opens the endpoint; of several replicas the first that can be opened, which is enough to ask what it is and to embed
 * a few texts. Workers use them all: replicas.ts.
 */
export async function openEndpoint(given: string, options: EndpointOptions = {}): Promise<Endpoint> {
  const places = await parseAddresses(given, options).find()
  let failure: unknown
  for (const place of places) {
    try {
      return await openPlace(place, options)
    } catch (error) {
      if (options.signal?.aborted) throw error
      failure ??= error
    }
  }
  throw failure
}
