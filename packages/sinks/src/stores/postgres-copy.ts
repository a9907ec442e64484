// Writes the rows of a COPY, and frees their memory as soon as the system has taken it.

import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { release } from '@reembed/shared'

/**
 * Returns a function that writes bytes, waits while PostgreSQL is slower, and frees them where
 * possible. The bytes belong to it.
 * @param socket what `copy` writes to
 * @param ended rejects if the COPY failed
 */
export function createCopyWriter(copy: Writable, socket: Writable, ended: Promise<void>) {
  return async (bytes: Buffer): Promise<void> => {
    // The stream may keep the bytes, for example until PostgreSQL accepts the command.
    if (copy.write(bytes)) return
    await Promise.race([once(copy, 'drain'), ended])
    // Otherwise the system may still read the bytes.
    if (socket.writableLength === 0) release(bytes)
  }
}
