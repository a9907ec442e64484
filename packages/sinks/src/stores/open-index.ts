// Opens an index to examine it: a table or view of PostgreSQL, or a collection of Qdrant.
//
//   postgres://user@host/database?table=docs[&id=id][&vector=embedding][&text=body]
//   qdrant+https://host:6333?collection=docs[&vector=name][&text=body]

import type { IndexReader } from '@reembed/evaluate'
import { ReembedError } from '@reembed/shared'
import { openPostgresIndex } from './postgres-index.ts'
import { openQdrantIndex } from './qdrant-index.ts'

/**
 * @throws ReembedError USAGE for an invalid URL, or an index that does not exist
 * @throws ReembedError STORE_UNREACHABLE, STORE_ACCESS_DENIED
 */
export async function openIndex(url: string): Promise<IndexReader> {
  const [protocol] = /^[a-z+]+:/.exec(url) ?? []
  const kinds = {
    'postgres:': { names: ['table', 'id', 'vector', 'text'], open: openPostgresIndex },
    'postgresql:': { names: ['table', 'id', 'vector', 'text'], open: openPostgresIndex },
    'qdrant+http:': { names: ['collection', 'vector', 'text'], open: openQdrantIndex },
    'qdrant+https:': { names: ['collection', 'vector', 'text'], open: openQdrantIndex },
  }
  const kind = kinds[protocol as keyof typeof kinds]
  if (kind === undefined || !URL.canParse(url)) {
    throw new ReembedError(
      'USAGE',
      `'${url.replace(/\/\/.*@/, '//')}' is not the URL of an index that can be examined: use postgres://user@host/database?table=<table> or qdrant+https://host:6333?collection=<collection>`,
      { option: 'store' },
    )
  }
  const [required = ''] = kind.names
  const parsed = new URL(url)
  const of: Record<string, string> = {}
  for (const name of kind.names) {
    const value = parsed.searchParams.get(name)
    if (value !== null) of[name] = value
    parsed.searchParams.delete(name)
  }
  if (of[required] === undefined) {
    throw new ReembedError('USAGE', `the URL of the index names no ${required}: add ?${required}=<name>`, {
      option: 'store',
    })
  }
  return kind.open({ server: parsed.href, of })
}
