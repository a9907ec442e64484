// Decoder of LZ4 frames (lz4_Frame_format.md and lz4_Block_format.md of the LZ4 project) for Arrow
// files: pandas' to_feather writes them with linked blocks, which refer to the data of earlier
// blocks. The output never exceeds `maxBytes`, and a truncated frame is an error. Packages that
// read linked blocks lack one of the two guarantees.

const MAGIC = 0x184d2204
const MIN_MATCH = 4
const PLAIN_BLOCK = 0x80000000

/**
 * Decompresses a frame. Checksums are not verified.
 * @throws Error for data that is not an LZ4 frame, is damaged or truncated.
 * @throws RangeError ERR_BUFFER_TOO_LARGE, before it allocates more, for a frame of more than
 * `maxBytes`.
 */
export function decompressLz4Frame(frame: Uint8Array, maxBytes: number): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  if (view.getUint32(0, true) !== MAGIC) throw new Error('not an LZ4 frame')
  const flags = view.getUint8(4)
  const [hasBlockChecksum, hasContentSize, hasDictionary] = [flags & 0x10, flags & 0x08, flags & 0x01]
  const expected = hasContentSize ? Number(view.getBigUint64(6, true)) : 4 * frame.length
  const output = createOutput(expected, maxBytes)
  let at = 6 + (hasContentSize ? 8 : 0) + (hasDictionary ? 4 : 0) + 1
  while (true) {
    const size = view.getUint32(at, true)
    at += 4
    if (size === 0) return output.bytes()
    const end = at + (size & ~PLAIN_BLOCK)
    if (end > frame.length) throw new Error('the LZ4 frame is truncated')
    if (size >>> 31 === 1) output.append(frame.subarray(at, end))
    else unpackBlock(view, at, end, output)
    at = end + (hasBlockChecksum ? 4 : 0)
  }
}

function unpackBlock(view: DataView, start: number, end: number, output: Output): void {
  let from = start
  const lengthOf = (nibble: number): number => {
    let value = nibble
    for (let more = nibble === 15; more; ) {
      const byte = view.getUint8(from++)
      value += byte
      more = byte === 255
    }
    return value
  }
  while (from < end) {
    const token = view.getUint8(from++)
    const literals = lengthOf(token >> 4)
    if (from + literals > end) throw new Error('an LZ4 block has literals beyond its end')
    output.append(new Uint8Array(view.buffer, view.byteOffset + from, literals))
    from += literals
    if (from >= end) return
    const distance = view.getUint16(from, true)
    from += 2
    output.repeat(distance, MIN_MATCH + lengthOf(token & 15))
  }
}

interface Output {
  append(bytes: Uint8Array): void
  /** Appends `length` bytes, copied from `distance` bytes before the end. */
  repeat(distance: number, length: number): void
  bytes(): Uint8Array
}

/** Grows by doubling from `expected` bytes, and never beyond `maxBytes`. */
function createOutput(expected: number, maxBytes: number): Output {
  let output = Buffer.alloc(Math.min(maxBytes, expected))
  let length = 0

  const reserve = (bytes: number): void => {
    if (length + bytes > maxBytes) {
      // The code that node:zlib uses for the same condition.
      throw Object.assign(new RangeError(`the LZ4 frame unpacks to more than ${maxBytes} bytes`), {
        code: 'ERR_BUFFER_TOO_LARGE',
      })
    }
    if (length + bytes <= output.length) return
    const larger = Buffer.alloc(Math.min(maxBytes, Math.max(2 * output.length, length + bytes)))
    output.copy(larger, 0, 0, length)
    output = larger
  }

  return {
    append(bytes) {
      reserve(bytes.length)
      output.set(bytes, length)
      length += bytes.length
    },
    repeat(distance, bytes) {
      if (distance === 0 || distance > length) {
        throw new Error('an LZ4 block refers to data before the start of its frame')
      }
      reserve(bytes)
      // Source and target may overlap. The copy then repeats the bytes that it has just written.
      for (let left = bytes; left > 0; ) {
        const step = Math.min(left, distance)
        output.copyWithin(length, length - distance, length - distance + step)
        length += step
        left -= step
      }
    },
    bytes: () => output.subarray(0, length),
  }
}
