// Opens a shard writer with the columns of a plan.

import type { Plan } from '@reembed/protocol'
import { arrowSchemaOf } from '../parquet/arrow.ts'
import type { ByteSink } from '../parquet/shard-buffer.ts'
import { extraColumns, vectorColumns } from '../read/columns.ts'
import { createShardWriter, type ShardWriter } from './writer.ts'

/**
 * Opens a writer for a shard of the plan. Loads Arrow only if the layout stores its schema in the
 * shards.
 */
export async function openShardWriter(
  { recipe, layout }: Pick<Plan, 'recipe' | 'layout'>,
  sink: ByteSink,
): Promise<ShardWriter> {
  const { dtype } = recipe
  const { dimensions } = recipe.model
  const extra = extraColumns(layout)
  const arrowSchema = layout?.arrowSchema
    ? await arrowSchemaOf([...vectorColumns(dimensions, dtype), ...extra])
    : undefined
  return createShardWriter({ dimensions, dtype, extra, arrowSchema, sink })
}
