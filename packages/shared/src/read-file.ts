// Reads files that a user names. A device may never end, and a file may be of any size.

import { createReadStream } from 'node:fs'

/** Reads a file of at most `maxBytes`. @throws Error with the limit, or that of the system */
export async function readFileWithin(path: string, maxBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  let bytes = 0
  // `end` is inclusive: one byte more than allowed is read.
  for await (const piece of createReadStream(path, { end: maxBytes })) {
    pieces.push(piece)
    bytes += piece.length
  }
  if (bytes > maxBytes) throw new Error(`it has more than ${maxBytes} bytes, at most that many are read`)
  return Buffer.concat(pieces)
}
