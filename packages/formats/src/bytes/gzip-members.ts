// Finds the members of a gzip stream (`cat a.gz b.gz`) in a pass that decompresses all of it
// anyway. No header states the size of its member. A candidate header is therefore accepted if the
// four bytes before it equal the decompressed length since the previous candidate, which is how a
// member ends:
//
//   1f 8b 08 .. | deflate ... | crc32 | length |  1f 8b 08 .. | deflate ...
//   ^ prior                             |         ^ candidate: a member if `length` bytes came out since `prior`
//
// A header that crosses two chunks is missed. Source: RFC 1952, 2.3.

import { createGunzip } from 'node:zlib'

/** Minimum distance of candidates: each one waits until all earlier bytes are decompressed. */
const APART_BYTES = 64 * 1024
const HEADER = Buffer.of(0x1f, 0x8b, 0x08)
const LENGTH_BYTES = 4

export interface GunzippedPiece {
  readonly bytes: Buffer
  /** Set on the first bytes of a member: offset of the member in the object. */
  readonly frameStart?: number
}

interface MemberOffset {
  /** Offset in the object. */
  readonly byte: number
  /** Offset in the decompressed content. */
  readonly at: number
}

/** Decompresses the members from byte `start` of the object on. @throws the errors of node:zlib. */
export async function* gunzipMembers(
  chunks: AsyncIterable<Buffer> | Iterable<Buffer>,
  start: number,
  pieceBytes: number,
): AsyncGenerator<GunzippedPiece, void, undefined> {
  const gunzip = createGunzip({ chunkSize: pieceBytes })
  const found: MemberOffset[] = []
  let made = 0
  const push = gunzip.push.bind(gunzip)
  gunzip.push = (chunk: Buffer | null) => {
    made += chunk?.length ?? 0
    return push(chunk)
  }
  // zlib never calls back the write that it fails at, so closing must end the wait.
  let abandon: ((error: Error) => void) | undefined
  gunzip.once('close', () => abandon?.(new Error('closed')))
  const write = async (bytes: Buffer): Promise<void> => {
    if (bytes.length === 0) return
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    abandon = reject
    gunzip.write(bytes, error => (error ? reject(error) : resolve()))
    await promise
  }

  async function feed(): Promise<void> {
    let at = start
    let prior: MemberOffset = { byte: start, at: 0 }
    let lookFrom = start + APART_BYTES
    let tail: Buffer = Buffer.alloc(0)
    for await (const chunk of chunks) {
      let from = 0
      for (let next = 0; ; next = from + 1) {
        const candidate = chunk.indexOf(HEADER, Math.max(next, lookFrom - at))
        if (candidate === -1) break
        await write(chunk.subarray(from, candidate))
        const near = chunk.subarray(Math.max(0, candidate - LENGTH_BYTES), candidate)
        const before = Buffer.concat([tail, near]).subarray(-LENGTH_BYTES)
        const place = { byte: at + candidate, at: made }
        if (before.length === LENGTH_BYTES && before.readUInt32LE() === (made - prior.at) % 2 ** 32) {
          found.push(place)
          lookFrom = place.byte + APART_BYTES
        }
        prior = place
        from = candidate
      }
      await write(chunk.subarray(from))
      tail = Buffer.concat([tail, chunk.subarray(-LENGTH_BYTES)]).subarray(-LENGTH_BYTES)
      at += chunk.length
    }
    gunzip.end()
  }

  const fed = feed().catch((error: Error) => void gunzip.destroy(error))
  let given = 0
  let frameStart: number | undefined = start
  try {
    for await (const bytes of gunzip as AsyncIterable<Buffer>) {
      let rest = bytes
      while (rest.length > 0) {
        while (found[0] && found[0].at <= given) frameStart = found.shift()?.byte
        const piece = rest.subarray(0, found[0] && found[0].at - given)
        yield frameStart === undefined ? { bytes: piece } : { bytes: piece, frameStart }
        frameStart = undefined
        given += piece.length
        rest = rest.subarray(piece.length)
      }
    }
  } finally {
    gunzip.destroy()
    await fed
  }
}
