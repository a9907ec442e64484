// How long a process waits for a dependency: the limits of all clients in one table, and the report
// of a wait that takes long. The policy is ambient, as the proxy variables are: a call five
// packages below the command must not lose its limit because one parameter was not passed on.

import { AsyncLocalStorage } from 'node:async_hooks'

/** The timeout that the table below is written for. Another one scales all limits. */
const DEFAULT_TIMEOUT_MS = 60_000

/**
 * `connect`: until a connection is open. `answer`: until a command has its first answer. `ready`:
 * the same for a process that stays up, which often starts before its dependencies. `reply`: until
 * the first byte of a reply, and between two bytes. `call`: one call with all its attempts; a body
 * gets this time again for each MiB, so that a sender of a byte every few seconds does not count as
 * alive.
 */
const SECONDS = {
  redis: { connect: 5, answer: 1.5, ready: 30, reply: 5, call: 60 },
  store: { connect: 5, reply: 20, socket: 30, call: 60 },
  hub: { reply: 15, call: 60 },
  endpoint: { call: 60 },
  /** A bulk request may wait for a disk. `probe`: between two checks that a server still works. */
  sink: { answer: 20, reply: 120, call: 90, probe: 5 },
  /** A wait is reported after this time, and again after twice, four times … it. */
  notice: 10,
  /** A process that stays up is not ready while a dependency has been silent for this time. */
  unready: 30,
  /** A dependency that nothing has waited for since then is not in use: a removed replica. */
  forget: 120,
} as const

const MIB = 1024 * 1024

type Milliseconds<T> = { readonly [Name in keyof T as `${Name & string}Ms`]: number }

/** A dependency that does not answer, or answers again. */
export interface WaitNotice {
  /** Name and address for messages: 'Redis at redis://host:6379'. */
  readonly dependency: string
  readonly state: 'silent' | 'answers_again'
  /** Milliseconds without a reply. */
  readonly ms: number
}

export interface DeadlineOptions {
  /** Time for one call to a dependency, with all its attempts. Scales the other limits. */
  readonly timeoutMs?: number | undefined
  /** Called while a wait takes long, and when it has ended with a reply. */
  readonly onWait?: ((notice: WaitNotice) => void) | undefined
}

/** The limits of a scope, in milliseconds. */
export interface Deadlines {
  readonly timeoutMs: number
  readonly redis: Milliseconds<typeof SECONDS.redis>
  readonly store: Milliseconds<typeof SECONDS.store>
  readonly hub: Milliseconds<typeof SECONDS.hub>
  readonly endpoint: Milliseconds<typeof SECONDS.endpoint>
  readonly sink: Milliseconds<typeof SECONDS.sink>
  readonly unreadyMs: number
  /** Dependencies in use that have not answered since the time given (of `performance.now`). */
  readonly silentSince: ReadonlyMap<string, number>
}

interface Scope extends Deadlines {
  readonly options: DeadlineOptions
  readonly noticeMs: number
  readonly silences: Map<string, Silence>
  readonly monitors: Map<string, Monitor>
}

interface Silence {
  readonly sinceMs: number
  /** End of the last wait. */
  endedMs: number
}

/** The waits for one dependency. */
interface Monitor {
  waits: number
  /** Of the last reply, or of the first wait. */
  sinceMs: number
  /** The wait is reported when it has taken this long. */
  noticeMs: number
  timer: NodeJS.Timeout | undefined
}

function createScope(options: DeadlineOptions): Scope {
  const { timeoutMs = DEFAULT_TIMEOUT_MS } = options
  const scaled = <T extends Record<string, number>>(seconds: T): Milliseconds<T> =>
    Object.fromEntries(
      Object.entries(seconds).map(([name, s]) => [`${name}Ms`, (1000 * s * timeoutMs) / DEFAULT_TIMEOUT_MS]),
    ) as Milliseconds<T>
  const { forgetMs, ...limits } = scaled({
    notice: SECONDS.notice,
    unready: SECONDS.unready,
    forget: SECONDS.forget,
  })
  const silences = new Map<string, Silence>()
  const monitors = new Map<string, Monitor>()
  return {
    options,
    timeoutMs,
    redis: scaled(SECONDS.redis),
    store: scaled(SECONDS.store),
    hub: scaled(SECONDS.hub),
    endpoint: scaled(SECONDS.endpoint),
    sink: scaled(SECONDS.sink),
    ...limits,
    silences,
    monitors,
    get silentSince() {
      const endMs = performance.now() - forgetMs
      for (const [name, { endedMs }] of silences)
        if (endedMs < endMs && !monitors.has(name)) silences.delete(name)
      return new Map(Array.from(silences, ([name, { sinceMs }]) => [name, sinceMs]))
    },
  }
}

const scopes = new AsyncLocalStorage<Scope>()
const outermost = createScope({})
const current = (): Scope => scopes.getStore() ?? outermost

/**
 * Calls `use` with other deadlines, which hold for all that it calls and opens. Options that are
 * not given are those of the enclosing scope.
 */
export function withDeadlines<T>(options: DeadlineOptions, use: () => T): T {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  return scopes.run(createScope({ ...current().options, ...given }), use)
}

/** The deadlines that hold here. A client reads them once, when it is opened. */
export const deadlines = (): Deadlines => current()

/** The time for a body of `bytes`: that of a call, and the same again for each MiB. */
export const bodyMs = (callMs: number, bytes: number): number => callMs * (1 + bytes / MIB)

/** A wait for a dependency, reported while it takes long. Disposal ends it. */
export interface Wait extends Disposable {
  /** Records that the dependency has answered. */
  answered(): void
  /** Records that the caller gives up: the dependency counts as silent until it answers. */
  gaveUp(): void
}

/** Begins a wait. Waits for one dependency at the same time are reported once. */
export function startWait(dependency: string): Wait {
  const scope = current()
  const monitor = scope.monitors.get(dependency) ?? startMonitor(scope, dependency)
  monitor.waits += 1
  return {
    answered() {
      monitor.sinceMs = performance.now()
      monitor.noticeMs = scope.noticeMs
      const silence = scope.silences.get(dependency)
      if (silence === undefined) return
      scope.silences.delete(dependency)
      scope.options.onWait?.({
        dependency,
        state: 'answers_again',
        ms: performance.now() - silence.sinceMs,
      })
    },
    gaveUp: () => markSilent(scope, dependency, monitor),
    [Symbol.dispose]() {
      monitor.waits -= 1
      if (monitor.waits > 0) return
      clearTimeout(monitor.timer)
      scope.monitors.delete(dependency)
      const silence = scope.silences.get(dependency)
      if (silence) silence.endedMs = performance.now()
    },
  }
}

function markSilent({ silences }: Scope, dependency: string, { sinceMs }: Monitor): void {
  if (!silences.has(dependency)) silences.set(dependency, { sinceMs, endedMs: sinceMs })
}

function startMonitor(scope: Scope, dependency: string): Monitor {
  const monitor: Monitor = {
    waits: 0,
    sinceMs: performance.now(),
    noticeMs: scope.noticeMs,
    timer: undefined,
  }
  const check = (): void => {
    const ms = performance.now() - monitor.sinceMs
    if (ms >= monitor.noticeMs) {
      monitor.noticeMs *= 2
      markSilent(scope, dependency, monitor)
      scope.options.onWait?.({ dependency, state: 'silent', ms })
    }
    // A reply only moves `sinceMs`: thousands of calls a second need no timer of their own.
    monitor.timer = setTimeout(check, Math.max(1, monitor.noticeMs - (performance.now() - monitor.sinceMs)))
    monitor.timer.unref()
  }
  scope.monitors.set(dependency, monitor)
  monitor.timer = setTimeout(check, scope.noticeMs)
  monitor.timer.unref()
  return monitor
}
