// Retries within retries: a client repeats a request, and a load repeats a shard of many requests.

import { ReembedError } from '@reembed/shared'
import { expect, test, vi } from 'vitest'
import { withRetries } from '../src/load/retries.ts'

vi.mock('node:timers/promises', () => ({ setTimeout: async () => {} }))

test('a call around another one does not repeat what that one has given up', async () => {
  let attempts = 0
  const request = () =>
    withRetries(async () => {
      attempts += 1
      throw new ReembedError('STORE_UNREACHABLE', 'no answer', { retry: 'requeue' })
    })
  await expect(withRetries(request)).rejects.toMatchObject({
    code: 'STORE_UNREACHABLE',
    message: 'no answer',
  })
  expect(attempts).toBe(12)
})
