// Texts whose requests the server never answers: the connection ends or the time is over. A text
// can crash a server, and then every request in flight fails with it, so a failure accuses all of
// its texts. Texts that are accused several times are sent alone and one at a time, each after a
// text that the server can embed: a failure then is the fault of the text. The record outlives a
// job, because a crashed server may take longer to return than a job waits.

import type { Failure } from '@reembed/endpoint'

export interface Suspects {
  /** Whether the text must be sent alone. */
  isSuspect(text: string): boolean
  /** Whether the text failed alone as often as it may. */
  isGuilty(text: string): boolean
  accuse(texts: readonly string[], failure: Failure, isAlone: boolean): void
  /** Called when a request of these texts was answered. */
  acquit(texts: readonly string[]): void
  /** Runs one `send` at a time. */
  oneAtATime<T>(send: () => Promise<T>): Promise<T>
}

/** Failed requests that make a text a suspect, and those of the text alone that reject it. */
const MAX_TOGETHER = 3
const MAX_ALONE = 3
/** The oldest are forgotten: a server that is down accuses all texts. */
const MAX_TEXTS = 10_000

/**
 * Whether a failure is no answer. Right after the good text, a text alone is also accused by a
 * failed model or proxy and by a damaged reply.
 */
export const canAccuse = ({ kind }: Failure, isAlone: boolean): boolean =>
  kind === 'reset' ||
  kind === 'timeout' ||
  (isAlone && (kind === 'gateway' || kind === 'backend' || kind === 'corrupt'))

export function createSuspects(): Suspects {
  const accused = new Map<string, { together: number; alone: number }>()
  let last: Promise<unknown> = Promise.resolve()
  return {
    // Looking up a text hashes it: 5 us for 2 KB, of every text of every request.
    isSuspect: text => accused.size > 0 && (accused.get(text)?.together ?? 0) >= MAX_TOGETHER,
    isGuilty: text => (accused.get(text)?.alone ?? 0) >= MAX_ALONE,
    accuse(texts, failure, isAlone) {
      if (!canAccuse(failure, isAlone)) return
      for (const text of texts) {
        const { together = 0, alone = 0 } = accused.get(text) ?? {}
        accused.delete(text)
        accused.set(text, { together: together + 1, alone: alone + (isAlone ? 1 : 0) })
      }
      for (const text of accused.keys()) {
        if (accused.size <= MAX_TEXTS) break
        accused.delete(text)
      }
    },
    acquit(texts) {
      if (accused.size > 0) for (const text of texts) accused.delete(text)
    },
    oneAtATime(send) {
      const sent = last.then(send)
      last = sent.catch(() => {})
      return sent
    },
  }
}
