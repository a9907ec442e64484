// The timeout of requests: a multiple of recent reply times, because a timeout that ends slow
// replies makes the server compute them again.

export interface Deadline {
  readonly ms: number
  learn(totalMs: number): void
}

const LEAST_MS = 30_000
const TIMES = 6
/** Timeout until enough replies are measured. */
const FIRST_MS = 60_000
const SAMPLES = 200
const LOOK_EVERY = 20

/** max(30 s, 6 x p95) over the last 200 replies. */
export function createDeadline(): Deadline {
  const samples: number[] = []
  let count = 0
  let ms = FIRST_MS
  return {
    get ms() {
      return ms
    },
    learn(totalMs) {
      samples[count++ % SAMPLES] = totalMs
      if (count % LOOK_EVERY !== 0) return
      const sorted = samples.toSorted((a, b) => a - b)
      ms = Math.max(LEAST_MS, TIMES * (sorted[Math.floor(0.95 * sorted.length)] ?? 0))
    },
  }
}
