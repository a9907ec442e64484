// Lines out of chunks of bytes, at the price of one indexOf per line. What is held between two chunks is the
// unfinished line, never more than `maxLineBytes` of it: the rest of a longer one is counted and dropped.
//
//   chunk n     ...}\n{"id":1,...}\n{"id":2,"te        'complete' straight out of the chunk, no copy
//   chunk n+1   xt":"..."}\n{"id":3,...                the line across the border is joined first

export interface LineSink {
  /** A line stands at bytes[from, to), without its '\n'. The bytes are only valid during the call. */
  line(bytes: Buffer, from: number, to: number, offset: number): void
  /** A line longer than the limit began at `offset`. */
  lineTooLong(length: number, offset: number): void
}

export interface LineScanner {
  /** Offset of the line that is not finished yet; with no such line, of the next one. */
  readonly offset: number
  /** Whether bytes of an unfinished line were seen. */
  readonly hasPartialLine: boolean
  /**
   * Scans one chunk. With `until`, stops after the line that reaches or crosses that offset, so that a line
   * which begins at or after `until` is left alone. True if it stopped.
   */
  push(chunk: Uint8Array, until?: number): boolean
  /** The end of the object ends the last line. */
  finish(): void
}

export function createLineScanner(start: number, maxLineBytes: number, sink: LineSink): LineScanner {
  let offset = start
  let held: Buffer[] = []
  let heldBytes = 0

  /** Keeps a piece of an unfinished line; a copy, because the store may use its chunk again. */
  const hold = (piece: Buffer): void => {
    heldBytes += piece.length
    if (heldBytes > maxLineBytes) held = []
    else if (piece.length > 0) held.push(Buffer.from(piece))
  }

  const endHeldLine = (): void => {
    if (heldBytes > maxLineBytes) {
      sink.lineTooLong(heldBytes, offset)
    } else {
      const joined = held.length === 1 && held[0] ? held[0] : Buffer.concat(held, heldBytes)
      sink.line(joined, 0, heldBytes, offset)
    }
    offset += heldBytes
    held = []
    heldBytes = 0
  }

  return {
    get offset() {
      return offset
    },
    get hasPartialLine() {
      return heldBytes > 0
    },

    push(chunk, until = Number.POSITIVE_INFINITY) {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      let from = 0
      while (offset < until) {
        const newline = bytes.indexOf(10, from)
        if (newline === -1) {
          hold(bytes.subarray(from))
          return false
        }
        if (heldBytes > 0) {
          hold(bytes.subarray(from, newline))
          endHeldLine()
          offset += 1
        } else {
          const length = newline - from
          if (length > maxLineBytes) sink.lineTooLong(length, offset)
          else sink.line(bytes, from, newline, offset)
          offset += length + 1
        }
        from = newline + 1
      }
      return true
    },

    finish() {
      if (heldBytes > 0) endHeldLine()
    },
  }
}
