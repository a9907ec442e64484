// Gets the vectors of one request's texts: it waits, retries and splits until each text has its
// vector or is rejected with a reason. It throws where the endpoint is at fault.

import {
  type Canary,
  type Endpoint,
  type Failure,
  isOverload,
  isRefusal,
  isUnavailable,
  type RequestLimits,
  type RequestSizes,
  toError,
  unavailableReason,
} from '@reembed/endpoint'
import type { Limiter, Permit } from '@reembed/limiter'
import type { RejectReason } from '@reembed/protocol'
import type { JobStop } from '@reembed/queue'
import { type Clock, ReembedError } from '@reembed/shared'
import { react } from './react.ts'
import { canAccuse, type Suspects } from './suspects.ts'
import type { StatedTokens } from './text-meter.ts'

/** Texts that are sent together, and the rows of their vectors. */
export interface Request {
  readonly texts: readonly string[]
  /** Tokens of each text, estimated. */
  readonly tokens: readonly number[]
  readonly rows: readonly number[]
  readonly vectors: Float32Array
  /** A row of `vectors` for the canary of this request. */
  readonly canaryRow: number
  /** Called for each answered request, with what the reply states about the tokens of its texts. */
  onAnswered(texts: readonly string[], rows: readonly number[], stated: StatedTokens): void
  /** Called when the text of `row` gets no vector. */
  reject(row: number, reason: RejectReason, message: string): void
  /** Called with the rows whose texts were not sent, or not answered, when the job had to stop. */
  omit(rows: readonly number[]): void
}

export interface SenderOptions {
  readonly endpoint: Endpoint
  readonly canary: Canary
  readonly limiter: Limiter
  /** See `RequestOptions`. */
  readonly halfPrecision?: boolean | undefined
  /** Shared by all jobs of a worker. */
  readonly suspects: Suspects
  /** The sizes of requests that the endpoint accepts, shared by all jobs of a worker. */
  readonly sizes: RequestSizes
  /** How long the endpoint may be unavailable before the job is requeued. */
  readonly maxUnavailableMs: number
  readonly stop?: JobStop | undefined
  readonly clock: Clock
  readonly random: () => number
}

export interface Sender {
  /**
   * Limits of a request: those that the endpoint states, reduced after it refused a request for its
   * size.
   */
  readonly limits: RequestLimits
  send(request: Request, signal: AbortSignal): Promise<void>
}

/** A text that every embedding model accepts. */
const GOOD_TEXT = 'The quick brown fox jumps over the lazy dog.'
const MAX_BAD_VECTORS = 3
/** Waits for a crashed server before the endpoint is proved again. */
const SUSPECT_PAUSE_MS = 1_000

/**
 * `proof`: the good text, retried while the endpoint is unavailable. `check`: the good text, sent
 * once. `suspect`: a text that is sent alone after the proof.
 */
type Role = 'documents' | 'suspect' | 'proof' | 'check'

/** Failures of a request by kind, those of the requests that it was split from included. */
type Tries = Readonly<Partial<Record<Failure['kind'] | 'vector', number>>>

export function createSender({
  endpoint,
  canary,
  limiter,
  halfPrecision,
  suspects,
  sizes,
  maxUnavailableMs,
  stop,
  clock,
  random,
}: SenderOptions): Sender {
  /** Start of the current unavailability. An answer to any request of this sender ends it. */
  let failingSince: number | undefined
  const untilBegun = joined(stop?.begun)
  const untilOver = joined(stop?.over)

  /** Sends a request, its suspects apart. */
  async function deliver(request: Request, signal: AbortSignal, tries: Tries): Promise<void> {
    const accused = request.texts.flatMap((text, i) => (suspects.isSuspect(text) ? [i] : []))
    if (accused.length === 0) return deliverTogether(request, signal, tries)
    const isAccused = new Set(accused)
    const others = pickTexts(request, i => !isAccused.has(i))
    if (others.texts.length > 0) await deliverTogether(others, signal, tries)
    for (const i of accused) {
      await suspects.oneAtATime(() => deliverSuspect(sliceRequest(request, i, i + 1), signal))
    }
  }

  /** A failure directly after the good text is the fault of the text. */
  async function deliverSuspect(single: Request, signal: AbortSignal): Promise<void> {
    const [text = ''] = single.texts
    while (suspects.isSuspect(text)) {
      if (!(await proveEndpoint(signal))) return single.omit(single.rows)
      if (suspects.isGuilty(text)) return rejectGuilty(single)
      const inputs = 1 + canary.inputs
      using permit = await unlessStopping(signal, until => limiter.acquire(inputs, until, canary.inputs > 0))
      if (permit === undefined) return single.omit(single.rows)
      await attempt(single, permit, signal, {}, 'suspect')
      // The attempt has omitted the text, or it was answered.
      if (stop?.begun.aborted) return
    }
  }

  function rejectGuilty({ rows: [row], reject }: Request): void {
    const message = 'the server ended the connection or exceeded the time limit whenever it got this text'
    if (row !== undefined) reject(row, 'refused_by_model', message)
  }

  /** Resolves with false if the job has to stop before the good text is answered. */
  async function proveEndpoint(signal: AbortSignal, role: 'proof' | 'check' = 'proof'): Promise<boolean> {
    let isAnswered = false
    const request: Request = {
      ...goodRequest(),
      onAnswered() {
        isAnswered = true
      },
    }
    await deliverTogether(request, signal, {}, role)
    return isAnswered
  }

  async function deliverTogether(
    request: Request,
    signal: AbortSignal,
    tries: Tries,
    role: Role = 'documents',
  ): Promise<void> {
    for (let rest: Request | undefined = request; rest !== undefined; ) {
      const inputs: number = rest.texts.length + canary.inputs
      using permit = await unlessStopping(signal, until => limiter.acquire(inputs, until, canary.inputs > 0))
      if (permit === undefined) return request.omit(rest.rows)
      // The request may have been packed before a lower limit was known, and a permit may cover a
      // part of it.
      const most = Math.min(fitting(rest, limits()), Math.max(1, permit.inputs - canary.inputs))
      const whole: boolean = rest.texts.length <= most
      const now: Request = whole ? rest : sliceRequest(rest, 0, most)
      rest = whole ? undefined : sliceRequest(rest, most, rest.texts.length)
      await attempt(now, permit, signal, isAlone(now, request) ? {} : tries, role)
    }
  }

  async function attempt(
    request: Request,
    permit: Permit,
    signal: AbortSignal,
    tries: Tries,
    role: Role,
  ): Promise<void> {
    const { texts, rows, vectors, canaryRow } = request
    const until = untilOver(signal)
    const unlessOver = (error: unknown): undefined => {
      if (!stop?.over.aborted || signal.aborted) throw error
    }
    const options = {
      rows,
      canaryRow,
      otherRoute: tries.vector === MAX_BAD_VECTORS - 1,
      halfPrecision,
      timeoutMs: limiter.deadlineMs,
      signal: until,
    }
    const reply = canary.request(texts, vectors, options)
    const outcome = await (stop ? reply.catch(unlessOver) : reply)
    if (outcome === undefined) return request.omit(rows)

    if (outcome.kind === 'ok') {
      permit.success(outcome)
      failingSince = undefined
      suspects.acquit(texts)
      sizes.acceptedTokens(tokensOf(request))
      request.onAnswered(texts, rows, {
        read: outcome.tokens,
        whole: outcome.textTokens,
        canaryCharacters: outcome.canaryCharacters ?? 0,
      })
      for (const i of outcome.badRows) await again(sliceRequest(request, i, i + 1), signal, tries)
      return
    }

    if (isUnavailable(outcome)) permit.dropped(unavailableReason(outcome))
    else if (isOverload(outcome)) permit.dropped()
    else permit.ignore()
    if (stop?.begun.aborted) return request.omit(rows)
    if (role === 'check') throw toError(outcome, endpoint.url)
    if (role !== 'proof') suspects.accuse(texts, outcome, role === 'suspect')
    // `deliverSuspect` proves the endpoint before the next attempt.
    if (role === 'suspect' && (canAccuse(outcome, true) || isOverload(outcome))) {
      if (!(await unlessStopping(signal, until => pause(outcome, SUSPECT_PAUSE_MS, until))))
        request.omit(rows)
      return
    }
    const count = (tries[outcome.kind] ?? 0) + 1
    const failed = { ...tries, [outcome.kind]: count }
    const reaction = react(outcome, texts.length, count, random, role === 'proof')
    switch (reaction.do) {
      case 'stop':
        throw toError(outcome, endpoint.url)
      case 'reject': {
        // The good text fails too: the endpoint is at fault.
        if (role === 'proof') throw toError(outcome, endpoint.url)
        if (reaction.proof === 'good_text' && !(await proveEndpoint(signal))) return request.omit(rows)
        suspects.acquit(texts)
        const [row] = rows
        if (row !== undefined) request.reject(row, reaction.reason, outcome.message)
        return
      }
      case 'isolate': {
        const isUp = await proveEndpoint(signal, 'check').then(
          isAnswered => isAnswered,
          (error: unknown) => {
            if (!(error instanceof ReembedError)) throw error
            if (reaction.ms === null) throw toError(outcome, endpoint.url)
            return false
          },
        )
        if (stop?.begun.aborted) return request.omit(rows)
        // An accused text is sent again after the proof of its own lane.
        const isReady = isUp && !texts.some(suspects.isSuspect)
        if (isReady && texts.length === 1) {
          const [row] = rows
          if (row !== undefined) request.reject(row, 'refused_by_model', outcome.message)
          return
        }
        const { ms } = reaction
        if (!isUp && !(await unlessStopping(signal, until => pause(outcome, ms ?? 0, until))))
          return request.omit(rows)
        if (!isReady) return deliverSplit(request, texts.length, signal, failed)
        const halved = { ...tries, [outcome.kind]: count - 1 }
        return deliverParts(request, Math.ceil(texts.length / 2), signal, { tries: halved, failure: outcome })
      }
      case 'retry': {
        if (role === 'suspect') throw toError(outcome, endpoint.url)
        if (!(await unlessStopping(signal, until => pause(outcome, reaction.ms, until))))
          return request.omit(rows)
        // The canary is an input of the request too.
        if (outcome.kind === 'batch_limit') sizes.refusedInputs(outcome.limit + canary.inputs)
        if (outcome.kind === 'too_large') sizes.refusedBytes(bytesOf(request))
        if (role === 'proof') return deliverTogether(request, signal, failed, role)
        return deliverParts(request, reaction.inputs, signal, { tries: failed, failure: outcome })
      }
    }
  }

  /**
   * Sends the parts of a request that failed. If it was refused and each part is answered, its size
   * was at fault.
   */
  async function deliverParts(
    request: Request,
    inputs: number,
    signal: AbortSignal,
    { tries, failure }: { readonly tries: Tries; readonly failure: Failure },
  ): Promise<void> {
    if (inputs >= request.texts.length || !isRefusal(failure))
      return deliverSplit(request, inputs, signal, tries)
    let isAnswered = true
    const watched: Request = {
      ...request,
      reject(...rejected) {
        isAnswered = false
        request.reject(...rejected)
      },
      omit(rows) {
        isAnswered = false
        request.omit(rows)
      },
    }
    await deliverSplit(watched, inputs, signal, tries)
    if (isAnswered) sizes.refusedTokens(tokensOf(request))
  }

  /**
   * Sends the parts sequentially: it reduces the load, and no request is in flight after a failure.
   */
  async function deliverSplit(
    request: Request,
    inputs: number,
    signal: AbortSignal,
    tries: Tries,
  ): Promise<void> {
    for (const each of split(request, inputs)) {
      await deliver(each, signal, isAlone(each, request) ? {} : tries)
    }
  }

  /**
   * Other texts of the GPU batch can cause a vector of NaN: the text is retried alone, then by the
   * other route.
   */
  async function again(single: Request, signal: AbortSignal, tries: Tries): Promise<void> {
    const count = (tries.vector ?? 0) + 1
    if (count < MAX_BAD_VECTORS) return deliver(single, signal, { ...tries, vector: count })
    const [row] = single.rows
    if (row !== undefined) {
      single.reject(
        row,
        'invalid_vector',
        `the model returned no finite vector of norm > 0 in ${count} attempts`,
      )
    }
  }

  /** Waits for `wait`, which its signal interrupts; undefined if the job has to stop meanwhile. */
  function unlessStopping<T>(
    signal: AbortSignal,
    wait: (until: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    if (stop === undefined) return wait(signal)
    return wait(untilBegun(signal)).catch((error: unknown) => {
      if (stop.begun.aborted && !signal.aborted) return undefined
      throw error
    })
  }

  async function pause(failure: Failure, ms: number, signal: AbortSignal): Promise<true> {
    if (isOverload(failure)) {
      failingSince ??= clock.now()
      const left = failingSince + maxUnavailableMs - clock.now()
      if (ms > left) throw unavailableTooLong(failure)
    }
    if (ms === 0) return true
    await clock.sleep(ms, signal)
    await limiter.retry(signal)
    return true
  }

  function unavailableTooLong(failure: Failure): ReembedError {
    const { code, message, retryAfterMs } = toError(failure, endpoint.url, maxUnavailableMs)
    return new ReembedError(code, message, { retry: 'requeue', retryAfterMs })
  }

  const goodRequest = (): Request => ({
    texts: [GOOD_TEXT],
    tokens: [GOOD_TEXT.length],
    rows: [0],
    vectors: new Float32Array(2 * endpoint.info.dimensions),
    canaryRow: 1,
    onAnswered: () => {},
    omit: () => {},
    reject: (_row, _reason, message) => {
      throw toError({ kind: 'corrupt', message }, endpoint.url)
    },
  })

  const limits = (): RequestLimits => withRoom(sizes.limits(endpoint.info), canary.inputs)

  return {
    get limits() {
      return limits()
    },
    send: (request, signal) => deliver(request, signal, {}),
  }
}

/** Joins `other` to a signal once for all requests of a window: each joining costs 10 µs. */
function joined(other: AbortSignal | undefined): (signal: AbortSignal) => AbortSignal {
  if (other === undefined) return signal => signal
  const known = new WeakMap<AbortSignal, AbortSignal>()
  return signal => {
    const both = known.get(signal) ?? AbortSignal.any([signal, other])
    known.set(signal, both)
    return both
  }
}

const withRoom = (limits: RequestLimits, canaries: number): RequestLimits => ({
  ...limits,
  inputs: Math.max(1, limits.inputs - canaries),
})

const tokensOf = ({ tokens }: Request): number => tokens.reduce((sum, each) => sum + each, 0)
const bytesOf = ({ texts }: Request): number => texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)

/** How many of the first texts are within the limits; at least one. */
function fitting({ texts, tokens }: Request, limits: RequestLimits): number {
  const most = Math.min(texts.length, limits.inputs)
  let sum = 0
  for (let i = 0; i < most; i++) {
    sum += tokens[i] ?? 0
    if (i > 0 && sum > limits.tokens) return i
  }
  return most
}

/**
 * A text that a split left alone starts with no failures: earlier ones may be caused by other
 * texts.
 */
const isAlone = (each: Request, of: Request): boolean => each.texts.length === 1 && of.texts.length > 1

/** Splits `request` into parts of at most `inputs` texts. */
function split(request: Request, inputs: number): Request[] {
  const parts: Request[] = []
  for (let from = 0; from < request.texts.length; from += inputs)
    parts.push(sliceRequest(request, from, from + inputs))
  return parts
}

function pickTexts(request: Request, isPicked: (i: number) => boolean): Request {
  const pick = <T>(values: readonly T[]): T[] => values.filter((_, i) => isPicked(i))
  return {
    ...request,
    texts: pick(request.texts),
    tokens: pick(request.tokens),
    rows: pick(request.rows),
  }
}

const sliceRequest = (request: Request, from: number, to: number): Request => ({
  ...request,
  texts: request.texts.slice(from, to),
  tokens: request.tokens.slice(from, to),
  rows: request.rows.slice(from, to),
})
