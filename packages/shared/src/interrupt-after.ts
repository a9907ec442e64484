// A limit of time for synchronous work that another party's data decides: a regular expression
// that backtracks takes longer than the age of the universe for 40 characters, and meanwhile no
// timer and no signal is handled. V8 can interrupt it, and node:vm gives access to that.

import { createContext, Script } from 'node:vm'

interface Call {
  work: (() => unknown) | undefined
}

let running: { readonly script: Script; readonly call: Call } | undefined
let isLimited = false

/**
 * Calls `work`, which must be synchronous. Costs about 0.1 ms; a call inside another one costs
 * nothing and has the limit of the outer one.
 * @param late creates the error for work that has not ended after `limitMs`
 * @throws what `work` throws, or the error of `late`
 */
export function interruptAfter<T>(limitMs: number, work: () => T, late: () => Error): T {
  if (isLimited) return work()
  if (running === undefined) {
    const call: Call = { work: undefined }
    createContext(call)
    running = { script: new Script('work()'), call }
  }
  const { script, call } = running
  call.work = work
  isLimited = true
  try {
    return script.runInContext(call, { timeout: Math.ceil(limitMs) }) as T
  } catch (error) {
    // An Error of the other context, which is no instance of this one's.
    const { code } = Object(error) as { readonly code?: unknown }
    throw code === 'ERR_SCRIPT_EXECUTION_TIMEOUT' ? late() : error
  } finally {
    isLimited = false
    call.work = undefined
  }
}
