// Checks a plan against what the consumers of its run can hold: an export that refuses a row, or a
// database that refuses the dimensions, is known before anything is embedded.

import type { Document, ModelIdentity, ShardLayout } from '@reembed/protocol'
import { type Consumer, extraColumns } from '@reembed/shard'
import { ReembedError } from '@reembed/shared'

/** Offenders that an error lists; it counts all. */
const LISTED = 5
const ID_CHARACTERS = 80

export interface PlannedRows {
  readonly model: ModelIdentity
  readonly layout: ShardLayout | undefined
  /** The sampled documents. */
  readonly documents: readonly Document[]
}

/**
 * Checks dimensions, columns and the sampled documents.
 * @throws ReembedError USAGE for the first consumer that cannot hold them
 */
export function requireConsumers(
  consumers: readonly Consumer[],
  { model, layout, documents }: PlannedRows,
): void {
  const extra = extraColumns(layout)
  for (const consumer of consumers) {
    consumer.requireRun({ model, layout })
    const problems = documents.flatMap(document => {
      const problem = consumer.problemOf(rowOf(document, layout), extra)
      return problem === undefined
        ? []
        : [`${JSON.stringify(document.id.slice(0, ID_CHARACTERS))}: ${problem}`]
    })
    if (problems.length === 0) continue
    const others = problems.length > LISTED ? `; and ${problems.length - LISTED} more` : ''
    throw new ReembedError(
      'USAGE',
      `${consumer.name} cannot store ${problems.length} of the ${documents.length} sampled documents (${problems.slice(0, LISTED).join('; ')}${others}): change them in the corpus, carry other columns, or choose another consumer`,
    )
  }
}

/** A row as the shards will have it. The texts of chunks are shorter than those of documents. */
function rowOf(
  { id, text, carried = {} }: Document,
  layout: ShardLayout = {},
): Parameters<Consumer['problemOf']>[0] {
  const values = Object.entries(carried).filter(([, value]) => value !== null)
  return {
    id,
    record: Object.fromEntries(layout.text && !layout.chunked ? [...values, ['text', text]] : values),
  }
}
