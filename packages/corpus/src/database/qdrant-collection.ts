// The payloads of a collection of Qdrant as a corpus: each point is a row, its payload the columns,
// and its id the column `point_id`. Qdrant has no snapshot that can be read: the caller compares
// two readings.

import { toText } from '@reembed/formats'
import { createHttpClient, ReembedError } from '@reembed/shared'
import { type QdrantPoint, type ScrolledCollection, scrollPoints } from './qdrant-scroll.ts'
import { SAMPLE_BYTES, SAMPLE_ROWS, type TableReader, type TableRow, topFieldOf } from './table-reader.ts'

/** The column of the point's id. */
const ID = 'point_id'

/**
 * Opens `qdrant+https://host:6333?collection=name`; the variable QDRANT_API_KEY has the key. Reads
 * the first points.
 * @throws ReembedError USAGE, SOURCE_NOT_FOUND, SOURCE_EMPTY, STORE_ACCESS_DENIED,
 * STORE_UNREACHABLE
 */
export async function openQdrantCollection(url: string, signal?: AbortSignal): Promise<TableReader> {
  const { server, name } = partsOf(url)
  const { QDRANT_API_KEY: key } = process.env
  const client = createHttpClient(server, key ? { 'api-key': key } : {}, 'source')
  const { address } = client
  const count = await named(countOf({ client, name }, signal))
  if (count === undefined) {
    throw new ReembedError(
      'SOURCE_NOT_FOUND',
      `${address} has no collection '${name}': check its name`,
      OPTION,
    )
  }
  const scrolled: ScrolledCollection = { client, collection: name, withVector: false, exact: true }
  const { lines, rows } = await named(sampleOf(scrolled, signal))
  if (rows === 0) {
    throw new ReembedError(
      'SOURCE_EMPTY',
      `There is nothing to embed: the collection '${name}' at ${address} has no points`,
      OPTION,
    )
  }
  return {
    format: 'qdrant',
    address,
    name,
    id: ID,
    readsSnapshot: false,
    estimatedRows: Math.max(count, rows),
    sample: { lines, rows, isWhole: rows >= count },
    async *rows(paths, { signal: stop }) {
      const fields = new Set<string>()
      for (const path of paths) fields.add(path).add(topFieldOf(path))
      for await (const points of scrollPoints(scrolled, { signal: stop }))
        yield points.map(point => rowOf(point, address, field => fields.has(field)))
    },
  }
}

const OPTION = { option: 'source' }

/** Errors of the client name no option. */
const named = <T>(work: Promise<T>): Promise<T> =>
  work.catch((error: unknown) => {
    if (!(error instanceof ReembedError) || error.option !== undefined) throw error
    const { code, message, reason, cause } = error
    throw new ReembedError(code, message, { ...OPTION, reason, cause })
  })

function partsOf(url: string): { readonly server: string; readonly name: string } {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  const name = parsed?.searchParams.get('collection')
  if (parsed === undefined || !name || !/^qdrant\+https?:\/\//i.test(url)) {
    const why = parsed === undefined ? 'is invalid' : name ? 'has no protocol' : 'names no collection'
    throw new ReembedError(
      'USAGE',
      `the URL of the source ${why}: write it as qdrant+https://host:6333?collection=<name>`,
      { option: 'source' },
    )
  }
  parsed.searchParams.delete('collection')
  return { server: parsed.href, name }
}

/** Undefined: the collection does not exist. */
async function countOf(
  { client, name }: { readonly client: ScrolledCollection['client']; readonly name: string },
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const path = `/collections/${encodeURIComponent(name)}/points/count`
  const { status, body } = await client.request('POST', path, {
    json: { exact: true },
    expect: [404],
    signal,
  })
  return status === 404 ? undefined : body.result.count
}

/** The first points, with all fields. */
async function sampleOf(
  scrolled: ScrolledCollection,
  signal: AbortSignal | undefined,
): Promise<{ readonly lines: Buffer; readonly rows: number }> {
  const lines: Buffer[] = []
  let bytes = 0
  let rows = 0
  sampling: for await (const points of scrollPoints(scrolled, { signal })) {
    for (const point of points) {
      const { json } = rowOf(point, scrolled.client.address, () => true)
      lines.push(json, LINE_BREAK)
      bytes += json.length
      rows += 1
      if (rows === SAMPLE_ROWS || bytes > SAMPLE_BYTES) break sampling
    }
  }
  return { lines: Buffer.concat(lines), rows }
}

const LINE_BREAK = Buffer.from('\n')

/** A point as a row, its fields in the order of their names. */
function rowOf({ id, payload }: QdrantPoint, address: string, isRead: (field: string) => boolean): TableRow {
  const own = payload?.[ID]
  if (own !== undefined && own !== id) {
    throw new ReembedError(
      'USAGE',
      `the payload of the point ${id} at ${address} has a field '${ID}', the name of the id of points: rename that field`,
      OPTION,
    )
  }
  const fields = Object.entries(payload ?? {})
    .filter(([field]) => isRead(field))
    .sort(([a], [b]) => (a < b ? -1 : 1))
  const json = toText({ [ID]: id, ...Object.fromEntries(fields) })
  if (json === undefined) throw new ReembedError('INTERNAL', `no JSON for the point ${id} at ${address}`)
  return { key: Buffer.from(String(id)), json: Buffer.from(json) }
}
