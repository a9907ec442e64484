// The writer of a run's shards, as its plan wants them.

import type { Plan } from '@reembed/shared'
import { arrowSchemaOf, extraColumns, type ShardSink, vectorColumns } from '@reembed/shared/parquet'
import { createShardWriter, type ShardWriter } from './writer.ts'

/** Loads Arrow only for a run that wants its schema in the shards. */
export async function openShardWriter(
  { recipe, layout }: Pick<Plan, 'recipe' | 'layout'>,
  sink: ShardSink,
): Promise<ShardWriter> {
  const { dtype } = recipe
  const { dimensions } = recipe.model
  const extra = extraColumns(layout)
  const arrowSchema = layout?.arrowSchema
    ? await arrowSchemaOf([...vectorColumns(dimensions, dtype), ...extra])
    : undefined
  return createShardWriter({ dimensions, dtype, extra, arrowSchema, sink })
}
