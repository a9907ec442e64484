// How many points a page asks for, against a client whose replies have given lengths.

import { LIMITS, REPLY_TOO_LONG, ReembedError } from '@reembed/shared'
import { expect, test } from 'vitest'
import { scrollPoints } from '../src/database/qdrant-scroll.ts'

/** Scrolls points with the ids 0, 1, …; returns the limits of the pages that were asked for. */
async function limitsOf(count: number, lengthOf: (ids: readonly number[]) => number): Promise<number[]> {
  const limits: number[] = []
  const found: unknown[] = []
  const client = {
    address: 'qdrant+http://stand-in',
    async request(_method: string, _path: string, { text, parse = JSON.parse }: Request = {}) {
      const { limit, offset = 0 } = JSON.parse(text?.body ?? '')
      limits.push(limit)
      const ids = Array.from({ length: Math.min(limit, count - offset) }, (_, i) => offset + i)
      const length = lengthOf(ids)
      if (length > LIMITS.sinkReplyBytes)
        throw new ReembedError('STORE_UNREACHABLE', 'too long', { reason: REPLY_TOO_LONG })
      const next = offset + ids.length < count ? offset + ids.length : null
      const result = { points: ids.map(id => ({ id })), next_page_offset: next }
      return { status: 200, body: parse(JSON.stringify({ result }).padEnd(length)) }
    },
  }
  for await (const points of scrollPoints({ client, collection: 'docs', withVector: false, exact: false }))
    found.push(...points.map(({ id }) => id))
  expect(found).toEqual(Array.from({ length: count }, (_, i) => i))
  return limits
}

type Request = { text?: { body: string } | undefined; parse?: ((text: string) => unknown) | undefined }

test('pages grow to their full size again behind a large point', async () => {
  const limits = await limitsOf(1_000, ids => (ids.includes(0) && ids.length > 1 ? 1e9 : 1_000))
  expect(limits).toEqual([256, 64, 16, 4, 1, 2, 4, 8, 16, 32, 64, 128, 256, 256, 256])
})

test('a page does not grow where the next reply would be over the limit', async () => {
  const perPoint = LIMITS.sinkReplyBytes / 100
  const limits = await limitsOf(300, ids => Math.ceil(perPoint * ids.length))
  expect(limits).toEqual([256, 64, 64, 64, 64, 64])
})

test('a point that is over the limit alone is named', async () => {
  await expect(limitsOf(10, ids => (ids.includes(8) ? 1e9 : 1_000))).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('the point 8 of docs at qdrant+http://stand-in'),
  })
})
