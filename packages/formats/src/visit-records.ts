// Reads all records of one object, for objects that describe a table instead of holding documents.

import type { SourceObject, SourceRecord } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { indexObject } from './inspect/object-index.ts'
import { readRecords } from './read-records.ts'

export interface VisitOptions {
  /** The fields that are read; of Parquet, only their columns. */
  readonly paths: readonly string[]
  readonly signal?: AbortSignal | undefined
}

/** What the mapper returns for every record: the readers need one, and nothing reads it. */
const VISITED: SourceRecord = {
  kind: 'reject',
  reason: 'invalid_record',
  message: '',
  position: { part: 0, offset: 0 },
}

/**
 * Calls `visit` with each record of a JSONL or Parquet object in order. Records of Parquet have one
 * member for each path. Memory is bounded as for any slice.
 * @throws ReembedError SOURCE_FORMAT if a record cannot be read; SOURCE_CHANGED if the object was
 * replaced.
 */
export async function visitRecords(
  store: Store,
  object: SourceObject,
  { paths, signal }: VisitOptions,
  visit: (record: object) => void,
): Promise<void> {
  const { key, etag, size, format } = object
  const end =
    format === 'jsonl' ? size : (await indexObject(store, object, { sliceBytes: size, signal })).extent
  const mapper = {
    paths,
    nulled: {},
    needsExactNumbers: () => false,
    map(record: object) {
      visit(record)
      return VISITED
    },
  }
  const part = { key, etag, size, format, start: 0, end }
  for await (const batch of await readRecords(store, part, { index: 0, mapper, signal })) {
    const fault = batch.find(record => record !== VISITED)
    if (fault?.kind === 'reject')
      throw new ReembedError('SOURCE_FORMAT', `${JSON.stringify(key)} cannot be read: ${fault.message}`)
  }
}
