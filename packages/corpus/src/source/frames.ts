// Where the frames of a compressed object begin, told from their headers alone. A frame can be decompressed on its
// own, so a slice need not be read from the start of the object.
//
//   zstd    | frame: header, block, block, ... checksum | frame | skippable frame | frame |
//   bgzip   | member of at most 64 KiB, its size in the header's extra field | member | ... | empty member |
//   gzip    | members whose end only decompression can tell (members.ts): taken as one frame |
//
// Frames of zstd have to be told apart in any case: Node 24's decompressor drops what follows a frame in one chunk.
// Sources: RFC 8878 (3.1.1), RFC 1952, and the SAM specification (4.1) for bgzip.

import type { Compression } from '@reembed/protocol'

export interface Frame {
  /** First byte of the frame in the object. */
  readonly start: number
  /** The bytes of the frame. To be read to their end before the next frame is asked for. */
  readonly bytes: AsyncIterable<Buffer> | Iterable<Buffer>
  /** Whether all of it is at hand, in one piece. */
  readonly isBuffered: boolean
}

/** Bytes that the layout wants to see, or only to pass. All of them belong to the frame. */
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
  // Decompression will say what is wrong with it.
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

/** Whether a whole frame holds no data. */
export const isSkippableFrame = (frame: Buffer): boolean =>
  frame.length >= 8 && isSkippable(frame.readUInt32LE())

const BGZIP_HEADER_BYTES = 18

function* gzipFrame(): Layout {
  const header = yield readStep(BGZIP_HEADER_BYTES)
  const isBgzip = header.readUInt32BE() === 0x1f8b0804 && header.toString('latin1', 12, 14) === 'BC'
  yield skipStep(isBgzip ? header.readUInt16LE(16) + 1 - BGZIP_HEADER_BYTES : Number.POSITIVE_INFINITY)
}

/** The frames of an object whose bytes from `at` on are `chunks`; a frame begins there. Holds one chunk. */
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

  /** The frame that began in this chunk and goes on into the next ones. */
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
  /** Goes on with the frame; gives where it ends if that is in this chunk. */
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
