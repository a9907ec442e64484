// A load balancer: several fake TEIs behind one URL, as behind a Kubernetes Service.

import { type Clock, systemClock } from '@reembed/shared'
import type { Fault } from './fault.ts'
import { type Gateway, type ProxiedRequest, startGateway } from './gateway.ts'

export interface LoadBalancerOptions {
  /** The replicas. Read for each request, so a test may change the list. */
  readonly replicas: readonly { readonly url: string }[]
  /** Default 'round_robin'. */
  readonly policy?: 'round_robin' | 'least_pending' | undefined
  /** Called for each request. Returns the fault, if any. */
  readonly fault?: ((request: ProxiedRequest) => Fault | undefined) | undefined
  /** Answers with an HTML 504 after this many milliseconds. Default never. */
  readonly timeoutMs?: number | undefined
  readonly clock?: Clock | undefined
}

export interface LoadBalancer extends Gateway {
  /** Requests without an answer yet. */
  readonly pending: number
}

/**
 * Starts a load balancer. It skips replicas that refuse the connection, and answers with an HTML
 * 502 if all do.
 *
 * @example
 * ```ts
 * import { startFakeTei, startLoadBalancer } from '@reembed/testing'
 *
 * await using first = await startFakeTei()
 * await using second = await startFakeTei()
 * await using balancer = await startLoadBalancer({ replicas: [first, second] })
 * const reply = await fetch(`${balancer.url}/info`)
 * console.log(await reply.json())
 * ```
 */
export async function startLoadBalancer({
  replicas,
  policy = 'round_robin',
  fault,
  timeoutMs,
  clock = systemClock,
}: LoadBalancerOptions): Promise<LoadBalancer> {
  const balance = createBalancingPolicy(policy)
  const gateway = await startGateway({
    clock,
    fault,
    timeoutMs,
    route: request => ({ origins: balance.order(replicas, request) }),
    onEnd: balance.end,
  })
  return {
    url: gateway.url,
    get pending() {
      return balance.pending
    },
    [Symbol.asyncDispose]: () => gateway[Symbol.asyncDispose](),
  }
}

export interface BalancingPolicy {
  readonly pending: number
  /** The replicas in the order to try; counts the request as pending at the first one. */
  order(replicas: readonly { readonly url: string }[], request: ProxiedRequest): string[]
  end(request: ProxiedRequest): void
}

export function createBalancingPolicy(policy: 'round_robin' | 'least_pending'): BalancingPolicy {
  const holders = new Map<ProxiedRequest, string>()
  const pendingAt = new Map<string, number>()
  let turn = 0
  return {
    get pending() {
      return holders.size
    },
    order(replicas, request) {
      const urls = replicas.map(({ url }) => url)
      const from = urls.length === 0 ? 0 : turn++ % urls.length
      const ordered = [...urls.slice(from), ...urls.slice(0, from)]
      if (policy === 'least_pending')
        ordered.sort((a, b) => (pendingAt.get(a) ?? 0) - (pendingAt.get(b) ?? 0))
      const [first] = ordered
      if (first !== undefined) {
        holders.set(request, first)
        pendingAt.set(first, (pendingAt.get(first) ?? 0) + 1)
      }
      return ordered
    },
    end(request) {
      const holder = holders.get(request)
      if (holder === undefined) return
      holders.delete(request)
      pendingAt.set(holder, (pendingAt.get(holder) ?? 1) - 1)
    },
  }
}
