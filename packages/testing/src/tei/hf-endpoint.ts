// One HF Inference Endpoint: fake TEIs behind HF's proxy, as observed on real endpoints.
//
//   scaledToZero --request--> initializing --startMs--> running --idle--> scaledToZero
//   running --pause()--> paused --resume()--> initializing
//   running --update()--> updating --> running
//
// The proxy answers a request to an endpoint at zero replicas with 503 at once, or holds it if it
// has the header X-Scale-Up-Timeout; both start a replica. It answers 400 if the endpoint is paused
// and 401 without a token; neither starts a replica.

import type { Reply } from '@reembed/local'
import { type Clock, systemClock } from '@reembed/shared'
import type { Fault } from './fault.ts'
import { type ProxiedRequest, type RouteDecision, startGateway } from './gateway.ts'
import { autoscale, initialScaler, SAMPLE_MS, type Scaling } from './hf-autoscaler.ts'
import { createBalancingPolicy } from './load-balancer.ts'
import { type FakeTei, type FakeTeiOptions, startFakeTei } from './tei.ts'

export type HfState =
  | 'pending'
  | 'initializing'
  | 'updating'
  | 'updateFailed'
  | 'running'
  | 'paused'
  | 'failed'
  | 'scaledToZero'

export interface FakeHfEndpointOptions extends Partial<Scaling> {
  /**
   * Options of each replica. As on HF (TEI 1.8.3, October 2026), replicas report the model id
   * `/repository` and no revision.
   */
  readonly replica?: Omit<FakeTeiOptions, 'clock' | 'warmUpMs' | 'port'> | undefined
  /** Revision of the model. Default 'r1'. */
  readonly revision?: string | undefined
  /** Required as `Authorization: Bearer`. Default 'hf_fake'; null for a public endpoint. */
  readonly token?: string | null | undefined
  /** Valid tokens without permission to call the endpoint: 403. */
  readonly otherTokens?: readonly string[] | undefined
  /**
   * Milliseconds from the start of a replica to its first 200. Default 42,000. Observed: 42 s with
   * the model cached, 157 s for the first start, 84 s after a pause.
   */
  readonly startMs?: number | undefined
  /** Milliseconds per replica in a rolling update. Default 50,000, as observed. */
  readonly updateMs?: number | undefined
  /** Default 'running'. */
  readonly initialState?: 'running' | 'scaledToZero' | 'paused' | undefined
  /** Fault of the proxy, called for each request. */
  readonly fault?: ((request: ProxiedRequest) => Fault | undefined) | undefined
  /**
   * The proxy answers with an HTML 504 after this time. Default never; none observed within 460 s.
   */
  readonly timeoutMs?: number | undefined
  readonly clock?: Clock | undefined
}

export interface FakeHfEndpoint extends AsyncDisposable {
  readonly url: string
  readonly state: HfState
  /** Ready and starting replicas. */
  readonly replicas: readonly FakeTei[]
  /** Number of ready replicas. */
  readonly readyReplica: number
  /** Number of replicas that the autoscaler wants. */
  readonly targetReplica: number
  /** Number of requests without an HTTP status yet. */
  readonly pending: number
  /** Number of starts from zero replicas. */
  readonly coldStarts: number
  readonly revision: string
  readonly scaling: Scaling
  /** Total milliseconds in which replicas were starting or running, which HF bills. */
  readonly billedMs: number
  pause(): Promise<void>
  resume(): Promise<void>
  scaleToZero(): Promise<void>
  scale(changes: Partial<Scaling>): Promise<void>
  /** Updates the replicas to another revision, one after the other; resolves when all have it. */
  update(revision: string): Promise<void>
}

const json = (status: number, error: string, code: string): RouteDecision => ({
  reply: { status, json: JSON.stringify({ error, code }) } satisfies Reply,
})
const UNAVAILABLE = json(503, '503 Service Unavailable', 'SERVICE_UNAVAILABLE')
const PAUSED = json(400, 'Bad Request: The endpoint is paused, ask a maintainer to restart it', 'BAD_REQUEST')
const UNAUTHORIZED = json(401, '401 Unauthorized', 'UNAUTHORIZED')
const FORBIDDEN = json(403, 'Forbidden: missing permission inference.endpoints.infer.write', 'FORBIDDEN')

/**
 * Starts a fake HF Inference Endpoint: proxy, autoscaler and replicas.
 * @example
 * ```ts
 * import { createManualClock, startFakeHfEndpoint } from '@reembed/testing'
 *
 * // The first request starts a replica; X-Scale-Up-Timeout holds it until the replica is ready.
 * const clock = createManualClock()
 * await using endpoint = await startFakeHfEndpoint({ clock, initialState: 'scaledToZero' })
 * const headers = { authorization: 'Bearer hf_fake', 'x-scale-up-timeout': '600' }
 * const reply = await clock.advanceUntilSettled(fetch(`${endpoint.url}/info`, { headers }))
 * console.log(reply.status, endpoint.coldStarts) // 200 1
 * ```
 */
export async function startFakeHfEndpoint(options: FakeHfEndpointOptions = {}): Promise<FakeHfEndpoint> {
  const {
    token = 'hf_fake',
    otherTokens = [],
    startMs = 42_000,
    updateMs = 50_000,
    initialState = 'running',
  } = options
  const { fault, timeoutMs, clock = systemClock, replica = {} } = options
  let scaling: Scaling = {
    minReplica: options.minReplica ?? 0,
    maxReplica: options.maxReplica ?? 1,
    scaleToZeroMs: options.scaleToZeroMs === undefined ? 3_600_000 : options.scaleToZeroMs,
    pendingRequests: options.pendingRequests ?? 1.5,
  }
  let { revision = 'r1' } = options
  const replicas: FakeTei[] = []
  const balance = createBalancingPolicy('least_pending')
  const open = new Set<ProxiedRequest>()
  const ended = new AbortController()
  /**
   * Resolved when a replica becomes ready or the endpoint is paused, so that held requests check
   * again.
   */
  let changed = Promise.withResolvers<void>()
  let settled = Promise.resolve()
  let paused = initialState === 'paused'
  let updating = false
  let coldStarts = 0
  let lastUsedMs = clock.now()
  let paidMs = 0
  let paidUntilMs = clock.now()
  let scaler = initialScaler(initialState === 'running' ? Math.max(1, scaling.minReplica) : 0, clock.now())

  const ready = (): FakeTei[] => replicas.filter(({ state }) => state === 'up')

  function meter(): void {
    paidMs += replicas.length * (clock.now() - paidUntilMs)
    paidUntilMs = clock.now()
  }

  function notify(): void {
    changed.resolve()
    changed = Promise.withResolvers()
  }

  async function addReplica(warmUpMs: number): Promise<void> {
    const { model = 'model', ...rest } = replica
    meter()
    const fake = await startFakeTei({
      version: '1.8.3',
      ...rest,
      model,
      sha: revision,
      reportedModel: { id: '/repository', sha: null, ...rest.reportedModel },
      warmUpMs,
      clock,
    })
    replicas.push(fake)
    void fake.ready.then(notify)
  }

  async function removeReplica(fake: FakeTei): Promise<void> {
    meter()
    replicas.splice(replicas.indexOf(fake), 1)
    await fake.stop()
    await fake[Symbol.asyncDispose]()
  }

  /** Starts or stops replicas until their number is the target. Calls run one after the other. */
  function settle(warmUpMs = startMs): Promise<void> {
    settled = settled.then(async () => {
      const target = paused ? 0 : scaler.target
      while (replicas.length < target) await addReplica(warmUpMs)
      // Removed replicas complete their active requests in the background.
      for (const fake of replicas.slice(target)) void removeReplica(fake)
    })
    return settled
  }

  async function startFromZero(): Promise<void> {
    coldStarts += 1
    scaler = initialScaler(Math.max(1, scaling.minReplica), clock.now())
    await settle()
  }

  function refusal({
    authorization,
  }: {
    readonly authorization?: string | undefined
  }): RouteDecision | undefined {
    if (token === null) return undefined
    const given = authorization?.replace(/^Bearer /, '')
    if (given === token) return undefined
    return given !== undefined && otherTokens.includes(given) ? FORBIDDEN : UNAUTHORIZED
  }

  async function route(request: ProxiedRequest): Promise<RouteDecision> {
    const refused = refusal(request.headers)
    if (refused) return refused
    open.add(request)
    lastUsedMs = clock.now()
    if (paused) return PAUSED
    if (scaler.target === 0) await startFromZero()
    const seconds = Number(request.headers['x-scale-up-timeout'])
    if (ready().length === 0 && seconds > 0) await hold(seconds * 1000, request.signal)
    if (paused) return PAUSED
    if (ready().length === 0) return UNAVAILABLE
    return { origins: balance.order(ready(), request) }
  }

  async function hold(ms: number, signal: AbortSignal): Promise<void> {
    const given = new AbortController()
    const out = clock.sleep(ms, AbortSignal.any([given.signal, signal])).then(
      () => 'out' as const,
      () => 'out' as const,
    )
    while (ready().length === 0 && !paused) {
      if ((await Promise.race([out, changed.promise])) === 'out') break
    }
    given.abort()
  }

  const gateway = await startGateway({
    clock,
    fault,
    timeoutMs,
    route,
    onEnd(request) {
      balance.end(request)
      if (open.delete(request)) lastUsedMs = clock.now()
    },
  })

  async function watch(): Promise<void> {
    for (;;) {
      await clock.sleep(SAMPLE_MS, ended.signal)
      const idleMs = open.size > 0 ? 0 : clock.now() - lastUsedMs
      const before = scaler.target
      if (!paused) scaler = autoscale(scaler, { nowMs: clock.now(), pending: open.size, idleMs }, scaling)
      if (scaler.target !== before) await settle()
    }
  }

  await settle(0)
  watch().catch(() => {})

  const endpoint: FakeHfEndpoint = {
    url: gateway.url,
    get state() {
      if (paused) return 'paused'
      if (scaler.target === 0) return 'scaledToZero'
      if (updating) return 'updating'
      return ready().length === 0 ? 'initializing' : 'running'
    },
    replicas,
    get readyReplica() {
      return ready().length
    },
    get targetReplica() {
      return paused ? 0 : scaler.target
    },
    get pending() {
      return open.size
    },
    get coldStarts() {
      return coldStarts
    },
    get revision() {
      return revision
    },
    get scaling() {
      return scaling
    },
    get billedMs() {
      meter()
      return paidMs
    },
    async pause() {
      paused = true
      notify()
      await settle()
    },
    async resume() {
      paused = false
      scaler = initialScaler(Math.max(1, scaling.minReplica), clock.now())
      await settle()
    },
    async scaleToZero() {
      scaler = initialScaler(0, clock.now())
      await settle()
    },
    async scale(changes) {
      scaling = { ...scaling, ...changes }
      const { target } = scaler
      const within = Math.min(scaling.maxReplica, Math.max(scaling.minReplica, target))
      if (target > 0 && within !== target) scaler = { ...scaler, target: within }
      await settle()
    },
    async update(next) {
      revision = next
      updating = true
      // A replica stops before its successor starts. With one replica the endpoint is unavailable
      // in between; with several, two models serve at the same time.
      for (const old of [...replicas]) {
        void removeReplica(old)
        await addReplica(updateMs)
        await replicas.at(-1)?.ready
      }
      updating = false
    },
    async [Symbol.asyncDispose]() {
      ended.abort(new Error('ended'))
      await gateway[Symbol.asyncDispose]()
      for (const fake of replicas.splice(0)) await fake[Symbol.asyncDispose]()
    },
  }
  return endpoint
}
