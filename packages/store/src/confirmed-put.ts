// Determines the outcome of a put whose reply was lost. A repeated put alone cannot: if the first
// put succeeded, the store refuses the second one although the object is ours.

/** 'exists': another object holds the key. */
export type PutOutcome = 'created' | 'exists'

export interface ConfirmedPutOptions {
  /** Sends one conditional put. Throws the error of a failed call. */
  put(): Promise<PutOutcome>
  /** Returns who wrote the object at the key, or undefined if there is none. */
  findWriter(): Promise<'self' | 'concurrent_writer' | undefined>
  /** Whether the store may have applied the put that threw this error. */
  mayHaveSucceeded(error: unknown): boolean
}

/**
 * Returns a function that attempts the put of one object. Call it again after a transient error.
 */
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
