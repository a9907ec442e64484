// Key-value metadata in the footer of a shard: the receipt, and a hash of the footer itself. The
// receipt contains the hash of the body, so the footer hash covers the whole file.

import { createHash } from 'node:crypto'
import { type Dtype, RECEIPT_KEY, type Receipt } from '@reembed/protocol'
import { canonical } from '@reembed/shared'
import type { KeyValue } from 'hyparquet'
import { FOOTER_HASH_KEY } from '../read/footer.ts'

const NO_HASH = '0'.repeat(64)

/**
 * Replaces the 64 zeros of the hash by the SHA-256 of the footer with the zeros. Called last: the
 * hash covers the rest.
 */
export function writeFooterHash(footer: Buffer): string {
  const hash = createHash('sha256').update(footer).digest('hex')
  footer.write(hash, footer.lastIndexOf(NO_HASH), 'latin1')
  return hash
}

/** The receipt, and its main facts as separate keys for other tools. */
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
