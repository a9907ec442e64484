import { PassThrough } from 'node:stream'
import { from } from 'pg-copy-streams'
import { expect, test } from 'vitest'
import { createCopyWriter } from '../src/stores/postgres-copy.ts'

/** What the types of the stream leave out: `pg` calls it. */
interface Submitted {
  submit(connection: { query(text: string): void; stream: PassThrough }): void
  handleCopyInResponse(): void
}

test('rows that are written before PostgreSQL accepts the command reach it', async () => {
  const socket = new PassThrough({ highWaterMark: 2 ** 20 })
  const copy = from('COPY rows FROM STDIN (FORMAT binary)')
  const submitted = copy as unknown as Submitted
  submitted.submit({ query: () => {}, stream: socket })
  const write = createCopyWriter(copy, socket, new Promise(() => {}))
  // Of a size that has a buffer of its own.
  const rows = Buffer.alloc(10_000, 'row ')
  await write(Buffer.from('header'))
  await write(Buffer.from(rows.buffer.slice(0)))
  submitted.handleCopyInResponse()
  const sent = socket.read() as Buffer
  expect(sent.includes(rows)).toBe(true)
})

test('rows that PostgreSQL has taken are freed', async () => {
  const socket = new PassThrough().resume()
  const copy = from('COPY rows FROM STDIN (FORMAT binary)')
  const submitted = copy as unknown as Submitted
  submitted.submit({ query: () => {}, stream: socket })
  submitted.handleCopyInResponse()
  const rows = Buffer.alloc(300_000)
  await createCopyWriter(copy, socket, new Promise(() => {}))(rows)
  expect(rows).toHaveLength(0)
})
