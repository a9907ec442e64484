// Time, chance and the order of things, all from one seed. Everything that a process does to the
// outside is a turn: it waits until the world calls it. So the world decides which of all pending
// turns is next, may end a process at any of them (it is never called again), stop it for a while,
// or lose the reply. Between two turns only promises of the process itself run, and setImmediate
// comes after all of them: the same seed gives the same history.

import { mulberry32 } from '../parts/random.ts'

/** Milliseconds of simulated time per turn, for code that uses a clock. */
export const MS_PER_TURN = 200

/** A process of the simulated fleet. Once it is dead, its pending promises never settle. */
export interface Process {
  readonly name: string
  alive: boolean
  /** Stopped until then: a machine that sleeps, a garbage collection, a cut network. */
  stoppedUntil: number
}

interface Turn {
  readonly process: Process
  readonly from: number
  readonly go: () => void
}

export interface World {
  readonly random: () => number
  /** A whole number below `n`. */
  below(n: number): number
  chance(probability: number): boolean
  pick<T>(values: readonly T[]): T
  /** Turns taken so far; simulated time as well. */
  readonly now: number
  start(name: string, program: (process: Process) => Promise<unknown>): Process
  kill(process: Process): void
  /** Waits to be called, not before `delay` turns from now. */
  turn(process: Process, delay?: number): Promise<void>
  /**
   * Calls pending turns until `until` says enough; false if nothing is left to call or `limit` is
   * reached.
   */
  run(until: () => boolean, limit: number, between: () => Promise<void> | void): Promise<boolean>
  /** What escaped from a program: always a fault of the simulated code or of the simulation. */
  readonly escaped: unknown[]
}

export function createWorld(seed: number): World {
  const random = mulberry32(seed)
  const below = (n: number): number => Math.floor(random() * n)
  const escaped: unknown[] = []
  let pending: Turn[] = []
  let now = 0

  /** The next turn, chosen among all that are due; if none is due, time jumps to the next one. */
  function take(): Turn | undefined {
    pending = pending.filter(({ process }) => process.alive)
    const startOf = ({ from, process }: Turn): number => Math.max(from, process.stoppedUntil)
    let ready = pending.filter(turn => startOf(turn) <= now)
    if (ready.length === 0) {
      if (pending.length === 0) return undefined
      now = Math.min(...pending.map(startOf))
      ready = pending.filter(turn => startOf(turn) <= now)
    }
    const turn = ready[below(ready.length)]
    if (turn) pending.splice(pending.indexOf(turn), 1)
    return turn
  }

  return {
    random,
    below,
    chance: probability => random() < probability,
    pick(values) {
      const value = values[below(values.length)]
      if (value === undefined) throw new Error('nothing to pick from')
      return value
    },
    get now() {
      return now
    },
    start(name, program) {
      const process: Process = { name, alive: true, stoppedUntil: 0 }
      program(process).catch((error: unknown) => {
        if (process.alive) escaped.push(error)
      })
      return process
    },
    kill(process) {
      process.alive = false
    },
    turn(process, delay = 0) {
      return new Promise<void>(resolve => pending.push({ process, from: now + delay, go: resolve }))
    },
    async run(until, limit, between) {
      for (let turns = 0; ; turns += 1) {
        await quiet()
        await between()
        if (until()) return true
        const turn = turns < limit ? take() : undefined
        if (turn === undefined) return false
        now += 1
        turn.go()
      }
    },
    escaped,
  }
}

/**
 * Resolves after every promise that could run has run: Node empties the queue of promises before
 * each immediate. They are set many at a time, because Node polls for input once for all that are
 * set.
 */
const quiet = (): Promise<void> => {
  if (set === 0) {
    set = IMMEDIATES
    for (let i = 0; i < IMMEDIATES; i += 1) setImmediate(next)
  }
  return new Promise(resolve => {
    resume = resolve
  })
}

function next(): void {
  set -= 1
  resume?.()
}

const IMMEDIATES = 64
let set = 0
let resume: (() => void) | undefined
