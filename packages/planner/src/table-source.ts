// A table of a database as a corpus. What is open is a sample of its rows, in memory. A run reads a
// copy: when it is planned, all rows are written into the output, so that workers need no access to
// the database, no transaction stays open, and a shard can be made again.

import { openPostgresTable, openQdrantCollection, type TableReader } from '@reembed/corpus'
import type { SourceObject } from '@reembed/protocol'
import { ReembedError, sha256 } from '@reembed/shared'
import { ObjectNotFound, type Store } from '@reembed/store'
import type { Corpus, OpenCorpusOptions } from './corpus.ts'
import { copyTable } from './table-copy.ts'

export const isTableUrl = (url: string): boolean => /^(postgres(ql)?|qdrant(\+https?)?):/i.test(url)

/**
 * Opens `postgres://user@host/database?table=name` or `qdrant+https://host:6333?collection=name`.
 * @throws ReembedError USAGE, SOURCE_NOT_FOUND, SOURCE_EMPTY, STORE_ACCESS_DENIED,
 * STORE_UNREACHABLE
 */
export async function openTableSource(
  url: string,
  { format, csv, signal }: Pick<OpenCorpusOptions, 'format' | 'csv' | 'signal'>,
): Promise<Corpus> {
  if (format !== undefined || csv !== undefined) {
    throw new ReembedError('USAGE', 'the rows of a table have no format: leave it out', {
      option: format === undefined ? 'csv' : 'format',
    })
  }
  const table = await (/^qdrant/i.test(url) ? openQdrantCollection : openPostgresTable)(url, signal)
  const { format: kind, address, name, estimatedRows: rows, sample } = table
  const parameter = kind === 'qdrant' ? 'collection' : 'table'
  const store = memoryStore(`${address}?${parameter}=${encodeURIComponent(name)}`, sample.lines)
  return {
    store,
    share: sample.rows / rows,
    table: { format: kind, address, name, rows, snapshot: '' },
    usualId: table.id,
    async *objects() {
      yield sampleObject(sample.lines)
    },
    requireField: (path, option) => table.requireColumn?.(path, option),
    copyTo: (output, options) => copyTable(table, output, options),
    async [Symbol.asyncDispose]() {},
  }
}

const SAMPLE_KEY = 'sample.jsonl'

const sampleObject = (lines: TableReader['sample']['lines']): SourceObject => ({
  key: SAMPLE_KEY,
  size: lines.length,
  etag: sha256(lines),
  format: 'jsonl',
})

/** The sample as a store that holds one object. */
function memoryStore(url: string, bytes: Buffer): Store {
  const object = sampleObject(bytes)
  const requireObject = (key: string): void => {
    if (key !== SAMPLE_KEY) throw new ObjectNotFound(`${key} in ${url}`)
  }
  const refused = async (): Promise<never> => {
    throw new ReembedError('INTERNAL', `${url} is a source: nothing is written to it`)
  }
  return {
    url,
    async *list(prefix) {
      if (SAMPLE_KEY.startsWith(prefix)) yield object
    },
    head: async key => (key === SAMPLE_KEY ? object : undefined),
    async get(key, { start, end } = {}) {
      requireObject(key)
      return bytes.subarray(start, end)
    },
    async *stream(key, { start, end } = {}) {
      requireObject(key)
      yield bytes.subarray(start, end)
    },
    putIfAbsent: refused,
    copyIfAbsent: refused,
    async [Symbol.asyncDispose]() {},
  }
}
