import { createHash } from 'node:crypto'

/** A shard with hashes that match its bytes, as an attacker would write it. */
export function resigned(shard: Buffer): Buffer {
  if (shard.length < 12) return shard
  const footerStart = shard.length - 8 - shard.readUInt32LE(shard.length - 8)
  if (footerStart < 4) return shard
  const bytes = Buffer.from(shard)
  const at = bytes.indexOf('"bodySha256":"', footerStart)
  if (at !== -1) {
    const hash = createHash('sha256').update(bytes.subarray(0, footerStart)).digest('hex')
    bytes.write(hash, at + 14, 'latin1')
  }
  const key = bytes.lastIndexOf('reembed.footer_sha256')
  if (key < footerStart || key + 100 > bytes.length) return bytes
  const place = key + 'reembed.footer_sha256'.length + 2
  bytes.fill('0', place, place + 64)
  bytes.write(createHash('sha256').update(bytes.subarray(footerStart, -8)).digest('hex'), place, 'latin1')
  return bytes
}
