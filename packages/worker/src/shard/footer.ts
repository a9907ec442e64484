// The footer of a shard: schema, row groups, receipt, and a hash over the footer itself. The receipt has the hash of
// everything before it, so there is no byte in the file that could change unseen.

import { createHash } from 'node:crypto'
import { canonical, RECEIPT_KEY, type Receipt } from '@reembed/shared'
import type { KeyValue, RowGroup } from 'hyparquet'
import { ByteWriter } from 'hyparquet-writer/src/bytewriter.js'
import { writeMetadata } from 'hyparquet-writer/src/metadata.js'
import { SCHEMA } from './schema.ts'

export const MAGIC: Uint8Array = Buffer.from('PAR1')

/** SHA-256 over the footer in which this value is 64 zeros. */
const FOOTER_HASH_KEY = 'reembed.footer_sha256'
const NO_HASH = '0'.repeat(64)

/** The end of the file: footer, its length, magic. */
export function footerBytes(receipt: Receipt, groups: RowGroup[]): Uint8Array {
  const writer = new ByteWriter()
  writeMetadata(writer, {
    version: 1,
    created_by: 'reembed version 1',
    schema: SCHEMA,
    num_rows: BigInt(receipt.rows),
    row_groups: groups,
    key_value_metadata: keyValues(receipt),
    metadata_length: 0,
  })
  writer.appendBytes(MAGIC)
  const footer = Buffer.from(writer.getBytes())
  // writeMetadata has put the length behind the metadata.
  const metadata = footer.subarray(0, -8)
  if (groups.length === 0) stateNoGroups(metadata)
  const hash = createHash('sha256').update(metadata).digest('hex')
  metadata.write(hash, metadata.lastIndexOf(NO_HASH), 'latin1')
  return footer
}

/** Thrift: 0 rows, then a list of 0 row groups; its type is not said by hyparquet-writer, and arrow-rs insists on it. */
const NO_ROWS_NO_GROUPS = Buffer.of(0x16, 0x00, 0x19, 0x00)
const STRUCT = 0x0c

function stateNoGroups(metadata: Buffer): void {
  metadata[metadata.indexOf(NO_ROWS_NO_GROUPS) + 3] = STRUCT
}

/** The receipt for us, its main facts as plain keys for everybody else. */
function keyValues(receipt: Receipt): KeyValue[] {
  const { run, spaceId, recipeId, model } = receipt
  return Object.entries({
    'reembed.version': String(receipt.format),
    'reembed.run_id': run,
    'reembed.space_id': spaceId,
    'reembed.recipe_id': recipeId,
    'reembed.model_id': model.id,
    'reembed.model_revision': model.revision ?? '',
    'reembed.dimensions': String(model.dimensions),
    'reembed.normalized': String(model.normalized),
    'reembed.dtype': 'float32',
    [RECEIPT_KEY]: canonical(receipt),
    [FOOTER_HASH_KEY]: NO_HASH,
  }).map(([key, value]) => ({ key, value }))
}
