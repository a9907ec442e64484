// What the targets of tables have in common: an object is measured, probed, read as a whole and in
// slices.

import { readSlice, type SliceReader } from '@reembed/corpus'
import { indexObject, inspectObject, type ObjectIndex } from '@reembed/formats'
import type { SlicePart, SourceRecord } from '@reembed/protocol'
import { type Choices, memoryStore, must, refusing } from './target.ts'

/** What a damaged table may be refused with. */
const REFUSED = ['SOURCE_FORMAT', 'CORRUPT', 'FIELD_NOT_FOUND']
/**
 * A table of some KiB that claims more rows is not read to its end: each page or batch is still
 * checked.
 */
const MAX_ROWS = 50_000

export const FIELDS = { id: 'id', text: 'text' } as const
const CARRY = [
  { name: 'n', type: 'int64' },
  { name: 'meta.lang', type: 'string' },
  { name: 'flag', type: 'boolean' },
  { name: 'x', type: 'double' },
] as const

/** Reads the table twice. The records, or undefined where it was refused. */
export async function readTable(
  format: 'parquet' | 'arrow',
  { rest, ...choices }: Choices,
): Promise<SourceRecord[] | undefined> {
  const store = memoryStore(new Map([[format, rest]]), { chunkBytes: 1 + 16 * choices.number(256) })
  const object = { key: format, size: rest.length, etag: 'e', format } as const
  const share = choices.number(256) / 255
  await refusing(REFUSED, async () => {
    const seen = await inspectObject(store, object)
    for (const name of seen.fieldNames) {
      seen.hasField(name)
      seen.fieldTypeOf(name)
      seen.fieldBytesOf?.(name)
    }
  })
  const measured = await refusing(REFUSED, () => indexObject(store, object, { sliceBytes: 1 << 20 }))
  if (measured === undefined) return undefined
  const { extent } = measured
  must(Number.isSafeInteger(extent) && extent >= 0, () => `it has ${extent} rows`)
  const whole = await read(store, object, measured, [])
  const middle = Math.floor(share * extent)
  const cut = await read(store, object, measured, [middle])
  if (whole === undefined || extent > MAX_ROWS) return undefined
  must(whole.length === extent, () => `${whole.length} records of ${extent} rows`)
  // A slice is entered at a page of its own where there is an index: one that lies may make a
  // difference, no more.
  if (cut !== undefined)
    must(cut.length === extent, () => `${cut.length} records of ${extent} rows in slices`)
  return whole
}

async function read(
  store: ReturnType<typeof memoryStore>,
  object: { key: string; size: number; etag: string; format: 'parquet' | 'arrow' },
  { extent, splitPoints }: ObjectIndex,
  at: readonly number[],
): Promise<SourceRecord[] | undefined> {
  const bounds = [0, ...at, extent]
  return refusing(REFUSED, async () => {
    const records: SourceRecord[] = []
    for (const [i, start] of bounds.slice(0, -1).entries()) {
      const end = bounds[i + 1] ?? extent
      const seek = splitPoints.findLast(cut => cut.start <= start)?.seek
      const part: SlicePart = { ...object, start, end, extent, ...(seek && { seek }) }
      const reader: SliceReader = readSlice(store, { parts: [part] }, { fields: FIELDS, carry: CARRY })
      for await (const record of reader.records) {
        records.push(record)
        if (records.length > MAX_ROWS) return records
      }
    }
    return records
  })
}
