// What the footer of a shard says beside schema and row groups: the receipt, and a hash over the footer itself. The
// receipt has the hash of everything before it, so that hash stands for the whole file.

import { createHash } from 'node:crypto'
import { type Dtype, RECEIPT_KEY, type Receipt } from '@reembed/protocol'
import { canonical } from '@reembed/shared'
import type { KeyValue } from 'hyparquet'

/** SHA-256 over the footer in which this value is 64 zeros. */
const FOOTER_HASH_KEY = 'reembed.footer_sha256'
const NO_HASH = '0'.repeat(64)

/** Puts the hash of the footer where 64 zeros stand for it; the hash comes last, so it covers all the rest. */
export function writeFooterHash(footer: Buffer): string {
  const hash = createHash('sha256').update(footer).digest('hex')
  footer.write(hash, footer.lastIndexOf(NO_HASH), 'latin1')
  return hash
}

/** The receipt for us, its main facts as plain keys for everybody else. */
export function footerKeyValues(
  receipt: Receipt,
  { dtype, arrowSchema }: { readonly dtype: Dtype; readonly arrowSchema?: string | undefined },
): KeyValue[] {
  const { run, spaceId, recipeId, model } = receipt
  return Object.entries({
    ...(arrowSchema && { 'ARROW:schema': arrowSchema }),
    'reembed.version': String(receipt.format),
    'reembed.run_id': run,
    'reembed.space_id': spaceId,
    'reembed.recipe_id': recipeId,
    'reembed.model_id': model.id,
    'reembed.model_revision': model.revision ?? '',
    'reembed.dimensions': String(model.dimensions),
    'reembed.normalized': String(model.normalized),
    'reembed.dtype': dtype,
    [RECEIPT_KEY]: canonical(receipt),
    [FOOTER_HASH_KEY]: NO_HASH,
  }).map(([key, value]) => ({ key, value }))
}
