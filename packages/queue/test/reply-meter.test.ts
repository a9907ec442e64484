import { expect, test } from 'vitest'
import { createReplyMeter } from '../src/reply-limit.ts'

const MAX = 64

/** Whether a reply is accepted whose bytes arrive in pieces of `size`. */
function accepts(reply: string, size: number, accept = createReplyMeter(MAX)): boolean {
  const bytes = Buffer.from(reply)
  for (let at = 0; at < bytes.length; at += size) {
    const piece = bytes.subarray(at, at + size)
    if (accept(piece) < piece.length) return false
  }
  return true
}

const bulk = (length: number): string => `$${length}\r\n${'x'.repeat(length)}\r\n`
const array = (...parts: string[]): string => `*${parts.length}\r\n${parts.join('')}`
const SIZES = [1, 2, 3, 7, 1_000]

test.each([
  ['a string', bulk(50)],
  ['no string', '$-1\r\n'],
  ['an empty array in an array', array('*0\r\n', '*-1\r\n', ':1\r\n')],
  ['an array of strings', array(bulk(10), bulk(0), bulk(20))],
  ['a map, a set, a boolean, a double and null', `%1\r\n+a\r\n~1\r\n#t\r\n,1.5\r\n_\r\n`],
  ['a string whose bytes are those of a long one', '$8\r\n$99999\r\n\r\n'],
  ['a push message and an attribute', `>1\r\n+a\r\n|1\r\n+k\r\n+v\r\n+reply\r\n`],
])('a reply within the limit is accepted, again and again, in pieces of any size: %s', (_, reply) => {
  for (const size of SIZES) {
    const accept = createReplyMeter(MAX)
    for (let i = 0; i < 20; i += 1) expect(accepts(reply, size, accept), `pieces of ${size}`).toBe(true)
  }
})

test.each([
  ['a string', bulk(80)],
  ['a string, by its length alone', '$80\r\n'],
  ['strings that are short each', array(...Array.from({ length: 10 }, () => bulk(5)))],
  ['an array, by its length alone', '*40\r\n'],
  ['a map, by its length alone', '%20\r\n'],
  ['an array of arrays', '*1\r\n'.repeat(17)],
  ['a line without an end', `+${'x'.repeat(80)}`],
  ['an error', `-ERR ${'x'.repeat(80)}\r\n`],
  ['a number without an end', `:${'1'.repeat(80)}`],
])('a reply beyond the limit is refused, in pieces of any size: %s', (_, reply) => {
  for (const size of SIZES) expect(accepts(reply, size), `pieces of ${size}`).toBe(false)
})

test('the replies in front of one beyond the limit are accepted', () => {
  const first = array(bulk(10), ':1\r\n')
  expect(createReplyMeter(MAX)(Buffer.from(`${first}+OK\r\n${bulk(80)}`))).toBe(first.length + 5)
})

test('bytes after a reply of an unknown type are refused', () => {
  const accept = createReplyMeter(MAX)
  expect(accepts('HTTP/1.1 200 OK\r\n', 1_000, accept)).toBe(true)
  expect(accepts('+OK\r\n', 1_000, accept)).toBe(false)
})
