// Splits chunks of bytes into lines, with one indexOf per line. Between two chunks it holds the
// unfinished line, at most `maxLineBytes` of it. The bytes of a longer line are counted and
// dropped.
//
//   chunk n     ...}\n{"id":1,...}\n{"id":2,"te        a complete line is passed on without a copy
//   chunk n+1   xt":"..."}\n{"id":3,...                a line that crosses the border is joined first

export interface LineSink {
  /** A line is at bytes[from, to), without its '\n'. The bytes are valid only during the call. */
  line(bytes: Buffer, from: number, to: number, offset: number): void
  /** A line longer than the limit began at `offset`; `length` is its size in bytes. */
  lineTooLong(length: number, offset: number): void
}

export interface LineScanner {
  /** Offset of the unfinished line; without an unfinished line, offset of the next line. */
  readonly offset: number
  /** Whether the scanner holds bytes of an unfinished line. */
  readonly hasPartialLine: boolean
  /**
   * Scans one chunk. With `until`, stops after the line that reaches or crosses that offset: a line
   * that begins at or after `until` is not read. Returns true if it stopped.
   */
  push(chunk: Uint8Array, until?: number): boolean
  /** Ends the last line, which may lack its '\n', at the end of the object. */
  finish(): void
}

export function createLineScanner(start: number, maxLineBytes: number, sink: LineSink): LineScanner {
  let offset = start
  let held: Buffer[] = []
  let heldBytes = 0

  /** Holds a piece of an unfinished line. It is a copy because the store may reuse its chunk. */
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
