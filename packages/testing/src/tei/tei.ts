// A fake TEI: the protocol server of this package with a model that is a hash, a clock that may be a test's, and
// every fault that a client has to stand.
//
//   warming ──warmUpMs──> up ──crash()──> down ──downMs──> warming ...
//                          └──stop()───> down until start()
//
// While it is not up the port refuses connections, as a TEI does until its model is loaded.

import {
  type Clock,
  freePort,
  type ReceivedRequest,
  serveTei,
  systemClock,
  type TeiFlags,
  type TeiServer,
} from '@reembed/local'
import { type Fault, replyOverrideOf } from './fault.ts'
import { createFakeModel, type FakeModelOptions, type ModelFaults } from './model.ts'

export interface FakeTeiOptions extends Omit<TeiFlags, 'maxBatchRequests'>, FakeModelOptions {
  readonly clock?: Clock | undefined
  /** Between start and the open port. Default 0. */
  readonly warmUpMs?: number | undefined
  readonly faults?: FakeTeiFaults | undefined
}

/** May be changed at any time. */
export interface FakeTeiFaults extends ModelFaults {
  /** Asked with each request of an embedding route; `number` counts them from 1. */
  request?: ((request: ReceivedRequest & { readonly number: number }) => Fault | undefined) | undefined
}

export interface FakeTei extends AsyncDisposable {
  /** The same through every crash and start. */
  readonly url: string
  readonly state: 'warming' | 'up' | 'down'
  /** Resolves when the first start is over: the server is up, or was ended before. */
  readonly ready: Promise<void>
  readonly faults: FakeTeiFaults
  /** Requests of embedding routes that came in, and what was answered with vectors. */
  readonly counts: {
    readonly received: number
    readonly requests: number
    readonly inputs: number
    readonly tokens: number
  }
  /** Resets every connection; comes back by itself after `downMs` and its warm-up. */
  crash(downMs?: number): Promise<void>
  /** As SIGTERM: refuses new connections and resolves when the requests under way are answered. */
  stop(): Promise<void>
  /** Up again, perhaps with another model or other flags; resolves when it is warm. */
  start(changes?: Partial<FakeTeiOptions>): Promise<void>
}

/** Resolves when the port is known; unless there is a `warmUpMs` to wait for, the server is up by then. */
export async function startFakeTei(given: FakeTeiOptions = {}): Promise<FakeTei> {
  let options = given
  const { clock = systemClock, hostname = '127.0.0.1', port = await freePort() } = given
  const faults: FakeTeiFaults = { ...given.faults }
  const counts = { received: 0, requests: 0, inputs: 0, tokens: 0 }
  /** Of the present state; aborted by the next one. */
  let life = new AbortController()
  let server: TeiServer | undefined
  let state: FakeTei['state'] = 'down'

  async function serve(): Promise<TeiServer> {
    return serveTei({
      ...options,
      hostname,
      port,
      clock,
      engine: createFakeModel(options, faults, clock),
      maxBatchRequests: options.maxBatchRequests ?? undefined,
      intercept(received) {
        counts.received += 1
        const fault = faults.request?.({ ...received, number: counts.received })
        return fault && replyOverrideOf(fault, clock)
      },
      onEmbedded(inputs, tokens) {
        counts.requests += 1
        counts.inputs += inputs
        counts.tokens += tokens
      },
    })
  }

  async function up(): Promise<void> {
    life.abort()
    life = new AbortController()
    const { signal } = life
    state = 'warming'
    if (options.warmUpMs) await clock.sleep(options.warmUpMs, signal).catch(() => {})
    if (signal.aborted) return
    const fresh = await serve()
    if (signal.aborted) return fresh.abort()
    server = fresh
    state = 'up'
  }

  function down(): TeiServer | undefined {
    life.abort()
    life = new AbortController()
    state = 'down'
    const ending = server
    server = undefined
    return ending
  }

  const ready = up()
  const fake: FakeTei = {
    url: `http://${hostname}:${port}`,
    get state() {
      return state
    },
    ready,
    faults,
    counts,
    async crash(downMs) {
      const crashed = down()
      const { signal } = life
      await crashed?.abort()
      if (downMs === undefined) return
      clock.sleep(downMs, signal).then(up, () => {})
    },
    async stop() {
      await down()?.[Symbol.asyncDispose]()
    },
    async start(changes = {}) {
      if (state === 'up') throw new Error('the fake TEI is up already: stop it first')
      options = { ...options, ...changes }
      await up()
    },
    async [Symbol.asyncDispose]() {
      await down()?.abort()
    },
  }
  if (!given.warmUpMs) await ready
  return fake
}
