import { deadlines } from '@reembed/shared'
import { type Endpoint, type EndpointOptions, openTarget } from './endpoint.ts'
import { parseTargets } from './targets.ts'

/**
 * Opens the endpoint; of several replicas the first that can be opened, which is enough to read its
 * info and to embed a few texts. Workers use all replicas, by `connectToReplicas`.
 * @throws ReembedError that of the first replica, when none can be opened
 */
export async function openEndpoint(given: string, options: EndpointOptions = {}): Promise<Endpoint> {
  const targets = await parseTargets(given, options).resolve()
  const endMs = performance.now() + (options.timeoutMs ?? deadlines().endpoint.callMs)
  let failure: unknown
  for (const target of targets) {
    // Silent replicas must not add up their time limits.
    const leftMs = endMs - performance.now()
    if (failure !== undefined && leftMs <= 0) break
    try {
      return await openTarget(target, options, leftMs)
    } catch (error) {
      if (options.signal?.aborted) throw error
      failure ??= error
    }
  }
  throw failure
}
