// A put whose reply is lost may have been done. This is how its outcome is found out, for any store that can put
// if absent and look: with a second put it would meet its own first one and read as refused.

export type PutOutcome = 'created' | 'exists'

export interface ConfirmedPutOptions {
  /** One put if the key is free. Throws what went wrong on the way. */
  put(): Promise<PutOutcome>
  /** Whose bytes hold the key: ours, another's, nobody's. */
  findWriter(): Promise<'self' | 'concurrent_writer' | undefined>
  /** Whether the put may have been done although it threw. */
  mayHaveSucceeded(error: unknown): boolean
}

/** One object's put, to be called until it returns; each call that throws may be followed by another. */
export function createConfirmedPut({
  put,
  findWriter,
  mayHaveSucceeded,
}: ConfirmedPutOptions): () => Promise<PutOutcome> {
  let unknown = false
  const settled = async (): Promise<PutOutcome | undefined> => {
    const holder = await findWriter()
    return holder && (holder === 'self' ? 'created' : 'exists')
  }
  return async () => {
    const known = unknown ? await settled() : undefined
    if (known) return known
    try {
      const outcome = await put()
      return outcome === 'exists' && unknown ? ((await settled()) ?? outcome) : outcome
    } catch (error) {
      if (mayHaveSucceeded(error)) unknown = true
      throw error
    }
  }
}
