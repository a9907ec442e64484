// Retries within retries: a client repeats a request, and a load repeats a shard of many requests.

import { ReembedError, withDeadlines, withRetries } from '@reembed/shared'
import { expect, test } from 'vitest'

test('a call that fails is repeated until its time is over, and a call around it does not repeat it', async () => {
  let calls = 0
  let attempts = 0
  const request = () => {
    calls += 1
    return withRetries(async () => {
      attempts += 1
      throw new ReembedError('STORE_UNREACHABLE', 'no answer', { retry: 'requeue' })
    })
  }
  // Attempts for 1.5 s: time for a second one on a busy machine.
  const ended = withDeadlines({ timeoutMs: 1_000 }, () => withRetries(request))
  await expect(ended).rejects.toMatchObject({ code: 'STORE_UNREACHABLE', message: 'no answer' })
  expect({ calls, repeated: attempts > 1 }).toEqual({ calls: 1, repeated: true })
})
