// Addresses of a name, by the system's resolver, which uses /etc/hosts and the search domains of a
// Kubernetes namespace.

import { lookup } from 'node:dns/promises'
import { deadlines, startWait } from './deadlines.ts'
import { seconds, within } from './time-limit.ts'

/**
 * Resolves with all addresses of a name. The system's resolver has limits of its own (`timeout` and
 * `attempts` of resolv.conf, for each server and search domain), which can add up to minutes. So
 * the wait has the limit of a call to an endpoint; the thread of the lookup ends by the resolver's.
 */
export async function resolveHost(
  hostname: string,
  look: (hostname: string) => Promise<readonly { readonly address: string }[]> = lookupAll,
): Promise<string[]> {
  const { callMs } = deadlines().endpoint
  using wait = startWait(`the resolver of names, for ${hostname}`)
  const found = await within(callMs, look(hostname), () => {
    wait.gaveUp()
    return new Error(`no reply of the resolver within ${seconds(callMs)} s`)
  })
  wait.answered()
  return found.map(({ address }) => address)
}

const lookupAll = (hostname: string): Promise<readonly { readonly address: string }[]> =>
  lookup(hostname, { all: true })
