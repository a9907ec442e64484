// The limits of a consumer, for planning: those of the layout that an export will have, or of the
// vector store that a load will write to.

import type { Consumer } from '@reembed/shard'
import { ELASTIC_DIMENSIONS } from './layouts/json.ts'
import {
  EXPORT_LAYOUT_NAMES,
  type ExportLayoutName,
  IDENTIFIER_NAMES_ONLY,
  LAYOUTS,
} from './layouts/registry.ts'
import { pgIndexOf } from './pg-copy.ts'
import { columnsOf, columnsUnder } from './read-run.ts'
import { problemOf } from './row-limits.ts'

/** The layout whose limits a store shares, by the protocol of its URL. */
const LAYOUT_OF_STORE: Readonly<Record<string, ExportLayoutName>> = {
  'elasticsearch+http:': 'elasticsearch',
  'elasticsearch+https:': 'elasticsearch',
  'lancedb:': 'lance',
  'lancedb+s3:': 'lance',
  'milvus+http:': 'milvus',
  'milvus+https:': 'milvus',
  'opensearch+http:': 'elasticsearch',
  'opensearch+https:': 'elasticsearch',
  'postgres:': 'pgvector',
  'postgresql:': 'pgvector',
}

/**
 * The limits of a layout, by its name, or of a vector store, by its URL; undefined where none is
 * known.
 */
export function consumerOf(layoutOrUrl: string): Consumer | undefined {
  const [protocol = ''] = /^[a-z0-9+]+:/i.exec(layoutOrUrl) ?? []
  const layout =
    LAYOUT_OF_STORE[protocol.toLowerCase()] ?? EXPORT_LAYOUT_NAMES.find(name => name === layoutOrUrl)
  if (layout === undefined) return undefined
  const isOpenSearch = protocol.startsWith('opensearch')
  const create = (
    model: Parameters<Consumer['warning']>[0],
    shardLayout: Parameters<typeof columnsOf>[0],
  ) => {
    // OpenSearch has the row limits of Elasticsearch; its own dimensions are checked at the load.
    const dimensions = isOpenSearch ? Math.min(model.dimensions, ELASTIC_DIMENSIONS) : model.dimensions
    return LAYOUTS[layout]({
      manifest: {
        model: { ...model, dimensions },
        run: '',
        spaceId: '',
        recipeId: '',
        prompt: '',
        shards: 1,
        totals: { rows: 0 },
      },
      extra: columnsUnder(columnsOf(shardLayout, { identifiers: IDENTIFIER_NAMES_ONLY.includes(layout) })),
      quantize: [],
      ranges: undefined,
      name: 'embeddings',
    })
  }
  const limits = create(
    { id: '', revision: null, dimensions: 8, pooling: null, normalized: true },
    {},
  ).rowLimits
  return {
    name: limits?.consumer ?? layout,
    requireRun: ({ model, layout }) => void create(model, { layout }),
    warning: ({ dimensions, normalized }) =>
      layout === 'pgvector' && pgIndexOf(dimensions, normalized) === undefined
        ? `pgvector cannot index ${dimensions} dimensions, so searches compare every row: embed with at most 4000`
        : undefined,
    problemOf: (row, extra) => limits && problemOf(row, extra, limits),
  }
}
