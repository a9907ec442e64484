// Opens a vector store by its URL.

import { httpAddress, ReembedError } from '@reembed/shared'
import { openElasticsearch } from '../stores/elasticsearch.ts'
import { lanceAddress, openLance } from '../stores/lancedb.ts'
import { openMilvus } from '../stores/milvus.ts'
import { milvusAddress } from '../stores/milvus-connection.ts'
import { openPostgres, postgresAddress } from '../stores/postgres.ts'
import { openQdrant } from '../stores/qdrant.ts'
import type { VectorStore } from './vector-store.ts'

interface Kind {
  readonly open: (url: string) => Promise<VectorStore>
  /** The URL without credentials and parameters. */
  readonly address: (url: string) => string
  /** Where credentials come from that the URL does not have. */
  readonly variables: string
}

const overHttp = (name: string, kind: Kind) => ({ [`${name}+http:`]: kind, [`${name}+https:`]: kind })

const elastic: Kind = { open: openElasticsearch, address: httpAddress, variables: 'ELASTIC_API_KEY' }
const qdrant: Kind = { open: openQdrant, address: httpAddress, variables: 'QDRANT_API_KEY' }
const milvus: Kind = { open: openMilvus, address: milvusAddress, variables: 'MILVUS_TOKEN' }
const lance: Kind = { open: openLance, address: lanceAddress, variables: 'AWS_ACCESS_KEY_ID' }
const postgres: Kind = { open: openPostgres, address: postgresAddress, variables: 'PGUSER and PGPASSWORD' }

const KINDS: Readonly<Record<string, Kind>> = {
  ...overHttp('elasticsearch', elastic),
  ...overHttp('milvus', milvus),
  ...overHttp('opensearch', elastic),
  ...overHttp('qdrant', qdrant),
  ...{ 'lancedb:': lance, 'lancedb+s3:': lance, 'postgres:': postgres, 'postgresql:': postgres },
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
  return kindOf(url).open(url)
}

/**
 * The address of a vector store by its URL: without credentials. Connects to nothing.
 * @throws ReembedError USAGE as `openVectorStore`
 */
export const storeAddress = (url: string): string => kindOf(url).address(url)

/** Where to give the credentials of a vector store. */
export const credentialsHint = (url: string): string =>
  `this process takes them from its own URL of the store, or from ${kindOf(url).variables}`

function kindOf(url: string): Kind {
  const protocol = /^[a-z][a-z0-9+]*:/i.exec(url)?.[0].toLowerCase()
  const kind = protocol === undefined ? undefined : KINDS[protocol]
  if (kind && !URL.canParse(url)) {
    throw new ReembedError(
      'USAGE',
      `the ${protocol} URL of the vector store is invalid: percent-encode special characters of user and password`,
      { option: 'target' },
    )
  }
  if (kind) return kind
  throw new ReembedError(
    'USAGE',
    `'${url.replace(/\/\/.*@/, '//')}' is not the URL of a vector store: begin it with ${Object.keys(KINDS)
      .map(each => `${each}//`)
      .join(', ')}`,
    { option: 'target' },
  )
}
