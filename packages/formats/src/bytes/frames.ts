// Finds the frames of a compressed object from their headers alone. Each frame can be decompressed
// separately, so a slice need not be read from the start of the object.
//
//   zstd    | frame: header, block, block, ... checksum | frame | skippable frame | frame |
//   bgzip   | member of at most 64 KiB, its size in the header's extra field | member | ... | empty member |
//   gzip    | members without a size in their headers: treated as one frame (gzip-members.ts finds them) |
//
// zstd frames must be separated in any case: Node 24's decompressor drops the data after a frame in
// the same chunk. Sources: RFC 8878 (3.1.1), RFC 1952, and the SAM specification (4.1) for bgzip.

import type { Compression } from '@reembed/protocol'

export interface Frame {
  /** First byte of the frame in the object. */
  readonly start: number
  /**
   * The bytes of the frame. The consumer must read them to the end before it requests the next
   * frame.
   */
  readonly bytes: AsyncIterable<Buffer> | Iterable<Buffer>
  /** Whether the whole frame is in memory, in one buffer. */
  readonly isBuffered: boolean
}

/** The next bytes of the frame, which the layout either reads or skips. */
interface Step {
  readonly bytes: number
  readonly isRead: boolean
}
type Layout = Generator<Step, void, Buffer>

const readStep = (bytes: number): Step => ({ bytes, isRead: true })
const skipStep = (bytes: number): Step => ({ bytes, isRead: false })

const ZSTD_MAGIC = 0xfd2fb528
const SKIPPABLE_MAGIC = 0x184d2a50
const RLE_BLOCK = 1

function* zstdFrame(): Layout {
  const magic = (yield readStep(4)).readUInt32LE()
  if (isSkippable(magic)) {
    yield skipStep((yield readStep(4)).readUInt32LE())
    return
  }
  // Not a zstd frame: the decompressor reports the error.
  if (magic !== ZSTD_MAGIC) yield skipStep(Number.POSITIVE_INFINITY)
  const descriptor = (yield readStep(1)).readUInt8()
  const singleSegment = (descriptor & 0x20) !== 0
  const dictionaryId = [0, 1, 2, 4][descriptor & 3] ?? 0
  const contentSize = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0
  yield skipStep((singleSegment ? 0 : 1) + dictionaryId + contentSize)
  for (let last = false; !last; ) {
    const header = (yield readStep(3)).readUIntLE(0, 3)
    last = (header & 1) === 1
    const type = (header >> 1) & 3
    yield skipStep(type === RLE_BLOCK ? 1 : header >> 3)
  }
  if ((descriptor & 4) !== 0) yield skipStep(4)
}

const isSkippable = (magic: number): boolean => (magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC

/** Whether a complete frame is a skippable one, which has no content. */
export const isSkippableFrame = (frame: Buffer): boolean =>
  frame.length >= 8 && isSkippable(frame.readUInt32LE())

const BGZIP_HEADER_BYTES = 18

function* gzipFrame(): Layout {
  const header = yield readStep(BGZIP_HEADER_BYTES)
  const isBgzip = header.readUInt32BE() === 0x1f8b0804 && header.toString('latin1', 12, 14) === 'BC'
  yield skipStep(isBgzip ? header.readUInt16LE(16) + 1 - BGZIP_HEADER_BYTES : Number.POSITIVE_INFINITY)
}

/**
 * Yields the frames of `chunks`, which begin at byte `at` of the object, the start of a frame.
 * Holds one chunk.
 */
export async function* readFrames(
  chunks: AsyncIterable<Uint8Array>,
  compression: Compression,
  at: number,
): AsyncGenerator<Frame, void, undefined> {
  const source = chunks[Symbol.asyncIterator]()
  const layoutOf = compression === 'zstd' ? zstdFrame : gzipFrame
  let chunk: Buffer = Buffer.alloc(0)
  let from = 0

  async function refill(): Promise<boolean> {
    const next = await source.next()
    if (next.done) return false
    chunk = Buffer.from(next.value.buffer, next.value.byteOffset, next.value.byteLength)
    from = 0
    return true
  }

  try {
    while (from < chunk.length || (await refill())) {
      if (chunk.length === 0) continue
      const start = at
      const walker = createWalker(layoutOf())
      const end = walker.push(chunk, from)
      if (end !== undefined) {
        const frame = chunk.subarray(from, end)
        at += frame.length
        from = end
        yield { start, bytes: [frame], isBuffered: true }
        continue
      }
      yield { start, bytes: rest(walker), isBuffered: false }
    }
  } finally {
    await source.return?.()
  }

  /** The bytes of a frame that begins in this chunk and continues in the next ones. */
  async function* rest(walker: Walker): AsyncGenerator<Buffer, void, undefined> {
    let end: number | undefined
    do {
      const piece = chunk.subarray(from, end)
      at += piece.length
      from = chunk.length
      yield piece
      if (!(await refill())) return
      end = walker.push(chunk, 0)
    } while (end === undefined)
    at += end
    from = end
    yield chunk.subarray(0, end)
  }
}

interface Walker {
  /**
   * Continues with the frame. Returns the offset of its end in this chunk, or undefined if the
   * frame does not end in this chunk.
   */
  push(chunk: Buffer, from: number): number | undefined
}

function createWalker(layout: Layout): Walker {
  let step = layout.next()
  let missing = step.done ? 0 : step.value.bytes
  let held: Buffer[] = []
  return {
    push(chunk, from) {
      let at = from
      while (!step.done) {
        const taken = Math.min(missing, chunk.length - at)
        if (step.value.isRead && taken > 0) held.push(Buffer.from(chunk.subarray(at, at + taken)))
        at += taken
        missing -= taken
        if (missing > 0) return undefined
        step = layout.next(Buffer.concat(held))
        held = []
        missing = step.done ? 0 : step.value.bytes
      }
      return at
    },
  }
}
