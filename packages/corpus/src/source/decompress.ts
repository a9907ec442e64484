// The bytes that an object of records holds: its own, or what they decompress to. Decompression is node:zlib's and
// happens piece by piece: what is held does not grow with the object, whatever its header promises.

import { pipeline, type Readable, Readable as Streams } from 'node:stream'
import { createGunzip, createZstdDecompress, gunzipSync, zstdDecompressSync } from 'node:zlib'
import type { Compression, SlicePart } from '@reembed/protocol'
import { codeOf, messageOf, ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { type Frame, isSkippableFrame, readFrames } from './frames.ts'
import { gunzipMembers } from './gzip-members.ts'

export interface DecompressedPiece {
  readonly bytes: Buffer
  /** With the first piece of a frame: where the frame begins in the object. */
  readonly frameStart?: number
}

const PIECE_BYTES = 256 * 1024
/** A frame that is at hand and unpacks to no more than this is decompressed in one go. */
const SMALL_BYTES = 1024 * 1024

/** Text does not shrink further than this; what does is made to fill memory and disks. */
const MAX_RATIO = 250
const FREE_BYTES = 64 * 1024 * 1024

export type DecompressedRange = Pick<SlicePart, 'key' | 'etag' | 'compression' | 'seek'> & {
  readonly start: number
  readonly end: number
}

/** Bytes `start` to `end` of what an object holds. With compression, reading begins at `seek`. */
export async function* streamContent(
  store: Store,
  { key, etag, compression, seek = { objectOffset: 0, contentOffset: 0 }, start, end }: DecompressedRange,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (compression === undefined) {
    yield* store.stream(key, { start, end, ifMatch: etag, signal })
    return
  }
  let { contentOffset: at } = seek
  const chunks = store.stream(key, { start: seek.objectOffset, ifMatch: etag, signal })
  for await (const { bytes } of decompress(chunks, { key, compression, startByte: seek.objectOffset })) {
    const from = Math.max(0, start - at)
    const to = Math.min(bytes.length, end - at)
    at += bytes.length
    if (from < to) yield bytes.subarray(from, to)
    if (at >= end) return
  }
}

export interface DecompressOptions {
  readonly key: string
  readonly compression: Compression
  /** Where `chunks` begin in the object: the start of a frame. */
  readonly startByte?: number
  /** Whether members are told apart in a gzip stream whose headers do not help; it takes a little longer. */
  readonly splitMembers?: boolean
}

/** What `chunks` decompress to. @throws ReembedError SOURCE_FORMAT for what is cut, damaged, or a bomb. */
export async function* decompress(
  chunks: AsyncIterable<Uint8Array>,
  { key, compression, startByte = 0, splitMembers = false }: DecompressOptions,
): AsyncGenerator<DecompressedPiece, void, undefined> {
  let read = 0
  let unpacked = 0
  async function* counted(): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of chunks) {
      read += chunk.length
      yield chunk
    }
  }
  try {
    for await (const frame of readFrames(counted(), compression, startByte)) {
      const pieces =
        splitMembers && compression === 'gzip' && !frame.isBuffered
          ? gunzipMembers(frame.bytes, frame.start, PIECE_BYTES)
          : withStart(unpack(frame, compression), frame.start)
      for await (const piece of pieces) {
        unpacked += piece.bytes.length
        if (unpacked > FREE_BYTES && unpacked > MAX_RATIO * read) throw decompressionBomb(key, unpacked, read)
        yield piece
      }
    }
  } catch (error) {
    throw isZlib(error) ? decompressionError(key, compression, error, unpacked) : error
  }
}

async function* withStart(
  unpacked: AsyncIterable<Buffer>,
  frameStart: number,
): AsyncGenerator<DecompressedPiece, void, undefined> {
  let first = true
  for await (const bytes of unpacked) {
    yield first ? { bytes, frameStart } : { bytes }
    first = false
  }
}

async function* unpack(frame: Frame, compression: Compression): AsyncGenerator<Buffer, void, undefined> {
  if (frame.isBuffered) {
    const [bytes = Buffer.alloc(0)] = frame.bytes as Iterable<Buffer>
    if (compression === 'zstd' && isSkippableFrame(bytes)) return
    const small = unpackSmall(bytes, compression)
    if (small !== undefined) {
      if (small.length > 0) yield small
      return
    }
  }
  const make = compression === 'zstd' ? createZstdDecompress : createGunzip
  const transform = make({ chunkSize: PIECE_BYTES })
  // A failure on either side destroys the other, and ends the loop below with the error.
  pipeline(Streams.from(frame.bytes, { objectMode: false }), transform, () => {})
  yield* transform as Readable as AsyncIterable<Buffer>
}

function unpackSmall(bytes: Buffer, compression: Compression): Buffer | undefined {
  if (bytes.length > SMALL_BYTES) return undefined
  const unpackSync = compression === 'zstd' ? zstdDecompressSync : gunzipSync
  try {
    return unpackSync(bytes, { maxOutputLength: SMALL_BYTES })
  } catch (error) {
    if (codeOf(error) === 'ERR_BUFFER_TOO_LARGE') return undefined
    throw error
  }
}

const isZlib = (error: unknown): boolean => /^(Z_|ZSTD_)/.test(codeOf(error) ?? '')

function decompressionError(
  key: string,
  compression: Compression,
  error: unknown,
  unpacked: number,
): ReembedError {
  const name = JSON.stringify(key)
  const what = messageOf(error)
  if (unpacked === 0 && /header check|Unknown frame|prefix/i.test(what)) {
    return new ReembedError(
      'SOURCE_FORMAT',
      `${name} is not ${compression}, though its name says so: rename it or leave it out`,
      { cause: error },
    )
  }
  const fault = /unexpected end/.test(what) ? 'is cut off' : 'is damaged'
  return new ReembedError(
    'SOURCE_FORMAT',
    `${name} ${fault}: its ${compression} data can be read up to byte ${unpacked} of what it holds (${what}). Bring it anew or leave it out`,
    { cause: error },
  )
}

const decompressionBomb = (key: string, unpacked: number, read: number): ReembedError =>
  new ReembedError(
    'SOURCE_FORMAT',
    `${JSON.stringify(key)} unpacks to more than ${MAX_RATIO} times its size (${unpacked} bytes from ${read}): no text shrinks like that, leave it out`,
  )
