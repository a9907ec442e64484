// Opens a vector store by its URL.

import { ReembedError } from '@reembed/shared'
import { openElasticsearch } from '../stores/elasticsearch.ts'
import { openLance } from '../stores/lancedb.ts'
import { openMilvus } from '../stores/milvus.ts'
import { openPostgres } from '../stores/postgres.ts'
import { openQdrant } from '../stores/qdrant.ts'
import type { VectorStore } from './vector-store.ts'

const OPEN: Readonly<Record<string, (url: string) => Promise<VectorStore>>> = {
  'elasticsearch+http:': openElasticsearch,
  'elasticsearch+https:': openElasticsearch,
  'lancedb:': openLance,
  'lancedb+s3:': openLance,
  'milvus+http:': openMilvus,
  'milvus+https:': openMilvus,
  'postgres:': openPostgres,
  'postgresql:': openPostgres,
  'opensearch+http:': openElasticsearch,
  'opensearch+https:': openElasticsearch,
  'qdrant+http:': openQdrant,
  'qdrant+https:': openQdrant,
}

/**
 * Opens a vector store: `postgres://user@host/database`.
 * @throws ReembedError USAGE for an invalid URL or one of another kind, or if the client is not
 *   installed
 * @example
 * ```ts
 * import { readCurrentManifest } from '@reembed/shard'
 * import { loadRun, openVectorStore, switchStore } from '@reembed/sinks'
 * import { openStore } from '@reembed/store'
 *
 * await using output = await openStore('./vectors')
 * await using database = await openVectorStore('postgres://app@127.0.0.1/search')
 * const { record } = await loadRun(output, await readCurrentManifest('./vectors'), database)
 * console.log(record.target, record.proof)
 * await switchStore(output, database)
 * ```
 */
export async function openVectorStore(url: string): Promise<VectorStore> {
  const protocol = /^[a-z][a-z0-9+]*:/i.exec(url)?.[0].toLowerCase()
  const open = protocol === undefined ? undefined : OPEN[protocol]
  if (open && !URL.canParse(url)) {
    throw new ReembedError(
      'USAGE',
      `the ${protocol} URL of the vector store is invalid: percent-encode special characters of user and password`,
      { option: 'target' },
    )
  }
  if (open) return open(url)
  throw new ReembedError(
    'USAGE',
    `'${url.replace(/\/\/.*@/, '//')}' is not the URL of a vector store: begin it with ${Object.keys(OPEN)
      .map(each => `${each}//`)
      .join(', ')}`,
    { option: 'target' },
  )
}
