// Opens an index to examine it: a table or view of PostgreSQL, a table of LanceDB, a collection of
// Milvus or Qdrant, an index of Elasticsearch or OpenSearch.
//
//   postgres://user@host/database?table=docs[&id=id][&vector=embedding][&text=body]
//   lancedb:./folder?table=docs[&id=id][&vector=embedding][&text=body]
//   milvus+https://host:19530/database?collection=docs[&vector=embedding][&text=body]
//   qdrant+https://host:6333?collection=docs[&vector=name][&text=body]
//   elasticsearch+https://host:9200?index=docs[&vector=embedding][&text=body]

import type { IndexReader, IndexSelection } from '@reembed/evaluate'
import { ReembedError } from '@reembed/shared'
import { openElasticsearchIndex } from './elasticsearch-index.ts'
import { openLanceIndex } from './lancedb-index.ts'
import { openMilvusIndex } from './milvus-index.ts'
import { openPostgresIndex } from './postgres-index.ts'
import { openQdrantIndex } from './qdrant-index.ts'

interface Kind {
  /** Parameters of the URL; the first is required. */
  readonly names: readonly string[]
  readonly open: (selection: IndexSelection) => Promise<IndexReader>
}

const postgres: Kind = { names: ['table', 'id', 'vector', 'text'], open: openPostgresIndex }
const elastic: Kind = { names: ['index', 'vector', 'text'], open: openElasticsearchIndex }
/** By the protocol without what follows a `+`. */
const KINDS: Readonly<Record<string, Kind>> = {
  'postgres:': postgres,
  'postgresql:': postgres,
  'lancedb:': { names: ['table', 'id', 'vector', 'text'], open: openLanceIndex },
  'milvus:': { names: ['collection', 'vector', 'text'], open: openMilvusIndex },
  'qdrant:': { names: ['collection', 'vector', 'text'], open: openQdrantIndex },
  'elasticsearch:': elastic,
  'opensearch:': elastic,
}
const USES = [
  'postgres://user@host/database?table=<table>',
  'lancedb:./folder?table=<table>',
  'milvus+https://host:19530?collection=<collection>',
  'qdrant+https://host:6333?collection=<collection>',
  'elasticsearch+https://host:9200?index=<index>',
  'opensearch+https://host:9200?index=<index>',
]

/**
 * @throws ReembedError USAGE for an invalid URL, or an index that does not exist
 * @throws ReembedError STORE_UNREACHABLE, STORE_ACCESS_DENIED
 */
export async function openIndex(url: string): Promise<IndexReader> {
  const [protocol] = /^[a-z+0-9]+:/.exec(url) ?? []
  const kind = KINDS[protocol?.replace(/\+(https?|s3):$/, ':') ?? '']
  if (kind === undefined || !URL.canParse(url)) {
    throw new ReembedError(
      'USAGE',
      `'${url.replace(/\/\/.*@/, '//')}' is not the URL of an index that can be examined: use ${USES.join(', ')}`,
      { option: 'store' },
    )
  }
  const [required = ''] = kind.names
  const { server, params } = protocol === 'lancedb:' ? folderOf(url) : serverOf(url, kind.names)
  const of: Record<string, string> = {}
  for (const name of kind.names) {
    const value = params.get(name)
    if (value !== null) of[name] = value
  }
  if (of[required] === undefined) {
    throw new ReembedError('USAGE', `the URL of the index names no ${required}: add ?${required}=<name>`, {
      option: 'store',
    })
  }
  return kind.open({ server, of }).catch((error: unknown) => {
    // A load names the store by another option.
    if (!(error instanceof ReembedError) || error.option !== 'target') throw error
    const { code, message, reason, cause } = error
    throw new ReembedError(code, message, { option: 'store', reason, cause })
  })
}

/** The path is kept as it is given, as a load opens it: URL encodes it, and ends it at a `#`. */
function folderOf(url: string): { readonly server: string; readonly params: URLSearchParams } {
  const [, server = url, query = ''] = /^(.*)\?(.*)$/s.exec(url) ?? []
  return { server, params: new URLSearchParams(query) }
}

/** The URL without the parameters that select the index. */
function serverOf(
  url: string,
  names: readonly string[],
): { readonly server: string; readonly params: URLSearchParams } {
  const parsed = new URL(url)
  const params = new URLSearchParams(parsed.search)
  for (const name of names) parsed.searchParams.delete(name)
  return { server: parsed.href, params }
}
