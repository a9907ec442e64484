// A fake TEI: the protocol server of @reembed/local with a hash as its model, an injectable clock,
// and the faults that a client must handle.
//
//   warming ──warmUpMs──> up ──crash()──> down ──downMs──> warming ...
//                          └──stop()───> down until start()
//
// Unless it is up, the port refuses connections, as that of TEI does until the model is loaded.

import { freePort, type ReceivedRequest, serveTei, type TeiFlags, type TeiServer } from '@reembed/local'
import { type Clock, systemClock } from '@reembed/shared'
import { type Fault, replyOverrideOf } from './fault.ts'
import { createFakeModel, type FakeModelOptions, type ModelFaults } from './model.ts'

/**
 * The flags of TEI (`version`, `maxConcurrentRequests`, `apiKey`, ...), the model, and the faults.
 */
export interface FakeTeiOptions extends Omit<TeiFlags, 'maxBatchRequests'>, FakeModelOptions {
  /** Measures batches, warm-up and downtime. Default: the system clock. */
  readonly clock?: Clock | undefined
  /** Milliseconds from start until the port opens. Default 0. */
  readonly warmUpMs?: number | undefined
  readonly faults?: FakeTeiFaults | undefined
}

/** Faults to inject. A test may change them at any time; they apply from the next request on. */
export interface FakeTeiFaults extends ModelFaults {
  /**
   * Called for each request of an embedding route; `number` counts from 1. Returns the fault, if
   * any.
   */
  request?: ((request: ReceivedRequest & { readonly number: number }) => Fault | undefined) | undefined
}

export interface FakeTei extends AsyncDisposable {
  /** For example `http://127.0.0.1:40123`. Stays the same after `crash`, `stop` and `start`. */
  readonly url: string
  readonly state: 'warming' | 'up' | 'down'
  /**
   * Resolves when the first start has ended: the server is up, or was stopped during its warm-up.
   */
  readonly ready: Promise<void>
  /** Set a member to inject a fault. */
  readonly faults: FakeTeiFaults
  readonly counts: {
    /** Requests received on embedding routes. */
    readonly received: number
    /** Requests answered with vectors. */
    readonly requests: number
    /** Texts answered with vectors. */
    readonly inputs: number
    /** Tokens of these texts. */
    readonly tokens: number
  }
  /**
   * Resets every connection, as a killed process does.
   * @param downMs restarts after this time plus the warm-up; omitted: stays down until `start`
   */
  crash(downMs?: number): Promise<void>
  /**
   * Stops as on SIGTERM: refuses new connections, resolves when all active requests are answered.
   */
  stop(): Promise<void>
  /** Starts again, with other options if given; resolves when the warm-up has ended. */
  start(changes?: Partial<FakeTeiOptions>): Promise<void>
}

/**
 * Starts a fake TEI. The vector of a text is a hash of the model, the revision and the text, so a
 * test can compute the expected vector with `hashVector` of @reembed/local.
 *
 * Resolves when the port is known. The server is then up, unless `warmUpMs` is set. Disposing it
 * resets every connection.
 *
 * @throws ReembedError USAGE if the flags are invalid
 * @example
 * ```ts
 * import { startFakeTei } from '@reembed/testing'
 *
 * await using tei = await startFakeTei({ dimensions: 8, maxConcurrentRequests: 4 })
 * const reply = await fetch(`${tei.url}/embed`, {
 *   method: 'POST',
 *   headers: { 'content-type': 'application/json' },
 *   body: JSON.stringify({ inputs: ['a', 'b'] }),
 * })
 * console.log(await reply.json()) // two rows with 8 numbers each
 * ```
 * @example
 * ```ts
 * import { createManualClock, startFakeTei } from '@reembed/testing'
 *
 * // A slow model, without waiting: a batch takes 100 ms + 1 ms per token of the test's clock.
 * const clock = createManualClock()
 * await using tei = await startFakeTei({ clock, baseMs: 100, msPerToken: 1 })
 * const embed = { method: 'POST', body: JSON.stringify({ inputs: ['a text'] }) }
 * const reply = await clock.advanceUntilSettled(fetch(`${tei.url}/embed`, embed))
 * console.log(reply.status)
 * ```
 */
export async function startFakeTei(given: FakeTeiOptions = {}): Promise<FakeTei> {
  let options = given
  const { clock = systemClock, hostname = '127.0.0.1', port = await freePort() } = given
  const faults: FakeTeiFaults = { ...given.faults }
  const counts = { received: 0, requests: 0, inputs: 0, tokens: 0 }
  /** Aborted when the state changes. */
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
      if (state === 'up') throw new Error('the fake TEI is already up: stop it first')
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
