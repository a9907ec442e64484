// Streams the content of an object of records, decompressed if necessary. node:zlib decompresses it
// piece by piece: memory does not grow with the object, whatever size its header claims.

import { pipeline, type Readable, Readable as Streams } from 'node:stream'
import { createGunzip, createZstdDecompress, gunzipSync, zstdDecompressSync } from 'node:zlib'
import type { Compression, SlicePart } from '@reembed/protocol'
import { codeOf, LIMITS, messageOf, ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { type Frame, isSkippableFrame, readFrames } from './frames.ts'
import { gunzipMembers } from './gzip-members.ts'

export interface DecompressedPiece {
  readonly bytes: Buffer
  /** Set on the first piece of a frame: offset of the frame in the object. */
  readonly frameStart?: number
}

const PIECE_BYTES = 256 * 1024
/** A buffered frame that unpacks to at most this many bytes is decompressed in one call. */
const SMALL_BYTES = 1024 * 1024

/**
 * Text does not compress further than this. An object above the ratio is treated as a decompression
 * bomb.
 */
const MAX_RATIO = LIMITS.unpackRatio
/** The ratio is not checked below this many decompressed bytes. */
const FREE_BYTES = 64 * 1024 * 1024

export type DecompressedRange = Pick<SlicePart, 'key' | 'etag' | 'compression' | 'seek'> & {
  readonly start: number
  readonly end: number
}

/**
 * Streams bytes `start` to `end` of the decompressed content. Reading of a compressed object begins
 * at `seek`.
 */
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
  /** Offset of `chunks` in the object. It must be the start of a frame. */
  readonly startByte?: number
  /**
   * Whether to find member boundaries in a gzip stream without sizes in its headers; takes slightly
   * longer.
   */
  readonly splitMembers?: boolean
}

/**
 * Decompresses `chunks`. @throws ReembedError SOURCE_FORMAT for truncated or damaged data and for a
 * bomb.
 */
export async function* decompress(
  chunks: AsyncIterable<Uint8Array>,
  { key, compression, startByte = 0, splitMembers = false }: DecompressOptions,
): AsyncGenerator<DecompressedPiece, void, undefined> {
  let read = 0
  let unpacked = 0
  let isOther = false
  async function* counted(): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of chunks) {
      if (read === 0) isOther = !SIGNATURES[compression].every((byte, i) => chunk[i] === byte)
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
    throw isZlib(error) ? decompressionError(key, compression, error, { unpacked, isOther }) : error
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
  // pipeline() destroys both streams when one fails, and the loop below then throws the error.
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

/** Whether an error of `decompress` means that its input ended inside a frame. */
export const isTruncated = (error: unknown): boolean =>
  error instanceof ReembedError && isTruncation(messageOf(error.cause))

/** The wording that node:zlib uses for gzip and zstd alike. */
const isTruncation = (message: string): boolean => /unexpected end/.test(message)

/** The first bytes of compressed data. */
const SIGNATURES: Readonly<Record<Compression, readonly number[]>> = {
  gzip: [0x1f, 0x8b],
  zstd: [0x28, 0xb5, 0x2f, 0xfd],
}

const isZlib = (error: unknown): boolean => /^(Z_|ZSTD_)/.test(codeOf(error) ?? '')

function decompressionError(
  key: string,
  compression: Compression,
  error: unknown,
  { unpacked, isOther }: { readonly unpacked: number; readonly isOther: boolean },
): ReembedError {
  const name = JSON.stringify(key)
  const what = messageOf(error)
  const isNoHeader = /header check|Unknown frame|prefix/i.test(what)
  if (isNoHeader && isOther) {
    return new ReembedError(
      'SOURCE_FORMAT',
      `${name} is not ${compression} data, although its extension says so: rename or exclude it`,
      { cause: error },
    )
  }
  if (/too much memory/.test(what)) {
    return new ReembedError(
      'SOURCE_FORMAT',
      `${name} needs a window of more than 128 MiB to decompress: compress it again with a smaller one`,
      { cause: error },
    )
  }
  if (isNoHeader) {
    return new ReembedError(
      'SOURCE_FORMAT',
      `${name} has other bytes behind its ${compression} data: remove them, or compress the content again`,
      { cause: error },
    )
  }
  const fault = isTruncation(what) ? 'is truncated' : 'is damaged'
  return new ReembedError(
    'SOURCE_FORMAT',
    `${name} ${fault}: its ${compression} data can be read up to byte ${unpacked} of the decompressed content (${what}). Replace or exclude it`,
    { cause: error },
  )
}

const decompressionBomb = (key: string, unpacked: number, read: number): ReembedError =>
  new ReembedError(
    'SOURCE_FORMAT',
    `${JSON.stringify(key)} unpacks to more than ${MAX_RATIO} times its size (${unpacked} bytes from ${read}), which text does not: exclude it`,
  )
