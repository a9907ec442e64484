// Where the members of a gzip stream begin (`cat a.gz b.gz`), for a pass that unpacks all of it anyway. No header says
// how long its member is. So what looks like a header is taken for one if the member before ends with its own length:
//
//   1f 8b 08 .. | deflate ... | crc32 | length |  1f 8b 08 .. | deflate ...
//   ^ prior                             |         ^ candidate: a member if as much came out since `prior`
//
// A header that lies across two chunks goes unseen; then the next two are found. RFC 1952, 2.3.

import { createGunzip } from 'node:zlib'

/** Members are looked for at this distance: each look waits for all that was unpacked before. */
const APART_BYTES = 64 * 1024
const HEADER = Buffer.of(0x1f, 0x8b, 0x08)
const LENGTH_BYTES = 4

export interface GunzippedPiece {
  readonly bytes: Buffer
  /** With the first bytes of a member that was found: where it begins in the object. */
  readonly frameStart?: number
}

interface MemberOffset {
  /** In the object, and in what it holds. */
  readonly byte: number
  readonly at: number
}

/** What the members decompress to that begin at byte `start` of the object. @throws what node:zlib throws. */
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
  // The write that zlib fails at is never called back.
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
