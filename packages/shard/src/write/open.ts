// The writer of a run's shards, as its plan wants them.

import type { Plan } from '@reembed/protocol'
import { arrowSchemaOf } from '../parquet/arrow.ts'
import type { ByteSink } from '../parquet/shard-buffer.ts'
import { extraColumns, vectorColumns } from '../read/columns.ts'
import { createShardWriter, type ShardWriter } from './writer.ts'

/** Loads Arrow only for a run that wants its schema in the shards. */
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
