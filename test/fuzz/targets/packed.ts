// gzip, bgzip and zstd: whatever the frames, the records are those of what Node unpacks in one go,
// and slices that enter at a frame hold what the whole holds.

import { constants, gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { readSlice } from '@reembed/corpus'
import { indexObject } from '@reembed/formats'
import type { SlicePart, SourceRecord } from '@reembed/protocol'
import { bgzip } from '../../source/writers.ts'
import { choicesOf, memoryStore, must, refusing, type Target } from '../target.ts'

const LINES = Buffer.from(
  Array.from(
    { length: 12 },
    (_, i) => `${JSON.stringify({ id: `${i}`, text: `text ${i} `.repeat(1 + (i % 4)) })}\n`,
  ).join(''),
)
const pieces = (bytes: Buffer, length: number): Buffer[] =>
  Array.from({ length: Math.ceil(bytes.length / length) }, (_, i) =>
    bytes.subarray(i * length, (i + 1) * length),
  )
const zstd = (bytes: Buffer): Buffer =>
  zstdCompressSync(bytes, { params: { [constants.ZSTD_c_checksumFlag]: 1 } })
const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3])

export const target: Target = {
  what: 'gzip, bgzip and zstd: frames, cuts, entering at a frame',
  maxBytes: 1_500,
  maxMiB: 256,
  dictionary: [
    gzipSync(''),
    zstdCompressSync(''),
    bgzip(Buffer.alloc(0)),
    skippable,
    zstd(Buffer.from('{"id":"a","text":"b"}\n')),
  ],
  seeds: () => {
    const gzips = [gzipSync(LINES), Buffer.concat(pieces(LINES, 100).map(one => gzipSync(one))), bgzip(LINES)]
    const zstds = [
      zstd(LINES),
      zstdCompressSync(LINES),
      Buffer.concat([...pieces(LINES, 100).map(zstd), skippable]),
      Buffer.concat([
        skippable,
        zstd(LINES.subarray(0, 200)),
        zstd(Buffer.alloc(0)),
        zstd(LINES.subarray(200)),
      ]),
    ]
    return [...gzips.map(one => [0, one] as const), ...zstds.map(one => [1, one] as const)].flatMap(
      ([kind, body]) => [
        Buffer.concat([Buffer.from([kind, 255, 80]), body]),
        Buffer.concat([Buffer.from([kind, 13, 1]), body]),
      ],
    )
  },
  async check(input) {
    const choices = choicesOf(input, 3)
    const compression = choices.number(2) === 0 ? 'gzip' : 'zstd'
    const store = memoryStore(new Map([['a', choices.rest]]), { chunkBytes: 1 + choices.number(256) })
    const object = { key: 'a', size: choices.rest.length, etag: 'e', format: 'jsonl', compression } as const
    const sliceBytes = 1 + 4 * choices.number(256)
    const measured = await refusing(['SOURCE_FORMAT'], () => indexObject(store, object, { sliceBytes }))
    if (measured === undefined) return
    const plain = choices.rest.length < 600 ? unpacked(choices.rest, compression) : undefined
    if (plain !== undefined)
      must(measured.extent === plain.length, () => `measured ${measured.extent} bytes of ${plain.length}`)
    const cut = await refusing(['SOURCE_FORMAT'], async () => {
      const records: SourceRecord[] = []
      for (const [i, { start, seek }] of measured.splitPoints.entries()) {
        const end = measured.splitPoints[i + 1]?.start ?? measured.extent
        const part: SlicePart = { ...object, start, end, extent: measured.extent, ...(seek && { seek }) }
        const reader = readSlice(store, { parts: [part] }, { fields: { id: 'id', text: 'text' } })
        for await (const record of reader.records) records.push(record)
      }
      return records
    })
    must(cut !== undefined, () => 'it was measured, and then could not be read')
    if (plain === undefined) return
    const whole = memoryStore(new Map([['a', plain]]))
    const part: SlicePart = {
      key: 'a',
      etag: 'e',
      format: 'jsonl',
      size: plain.length,
      start: 0,
      end: plain.length,
    }
    const expected = await refusing(['SOURCE_FORMAT'], () =>
      Array.fromAsync(readSlice(whole, { parts: [part] }, { fields: { id: 'id', text: 'text' } }).records),
    )
    if (expected === undefined) return
    must(
      JSON.stringify(plainOf(cut)) === JSON.stringify(plainOf(expected)),
      () => 'the slices hold other records',
    )
  },
}

const plainOf = (records: readonly SourceRecord[]): unknown[] =>
  records.map(({ position, ...record }) => [record, position.offset])

/**
 * By another way than ours. Node gives only the first frame of zstd, so each is given to it alone
 * by trying its end.
 */
function unpacked(bytes: Buffer, compression: 'gzip' | 'zstd'): Buffer | undefined {
  try {
    return compression === 'gzip' ? gunzipSync(bytes) : framesOf(bytes)
  } catch {
    return undefined
  }
}

function framesOf(bytes: Buffer): Buffer {
  const out: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const magic = bytes.readUInt32LE(at)
    if ((magic & 0xfffffff0) >>> 0 === 0x184d2a50) {
      at += 8 + bytes.readUInt32LE(at + 4)
      if (at > bytes.length) throw new Error('cut off')
      continue
    }
    let end = at + 4
    let frame: Buffer | undefined
    for (; end <= bytes.length && frame === undefined; end++) {
      try {
        frame = zstdDecompressSync(bytes.subarray(at, end))
      } catch {}
    }
    if (frame === undefined) throw new Error('no frame')
    out.push(frame)
    at = end - 1
  }
  return Buffer.concat(out)
}
