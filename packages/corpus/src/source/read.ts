// Reads the records of a slice in source order. Reading a slice again gives the same records.

import {
  isWholeFile,
  type Mapper,
  type NulledValues,
  type Partition,
  partitionOf,
  readRecords,
} from '@reembed/formats'
import type { ChunkContext, FieldMapping, PartRead, Slice, SlicePart, SourceRecord } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { createMapper, type DocumentMapping } from './mapping.ts'
import { readWholeFile } from './whole-file.ts'

export interface ReadSliceOptions extends Omit<DocumentMapping, 'fields' | 'title'> {
  /** The mapping of the plan. Null for a corpus of only text and Markdown files. */
  readonly fields: FieldMapping | null
  /** Set if documents need their titles. */
  readonly context?: ChunkContext | undefined
  /** Called with each record before it is mapped. */
  readonly onRecord?: ((record: object) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

export interface SliceReader {
  /**
   * Can be consumed once. Nothing is read ahead of the consumer. Ending early closes the open
   * streams.
   */
  readonly records: AsyncIterableIterator<SourceRecord, void, undefined>
  /** The ranges that were read, one for each part. Complete when `records` has ended. */
  readonly rangesRead: readonly PartRead[]
  /** The values that became null because their column cannot hold them. */
  readonly nulled: NulledValues
}

/**
 * Reads the records of a slice. Duplicate ids are not detected here, and an empty text is passed
 * on. Reading throws SOURCE_CHANGED if an object changed after planning.
 */
export function readSlice(
  store: Store,
  slice: Slice,
  { fields, context, onRecord, signal, ...mapping }: ReadSliceOptions,
): SliceReader {
  const rangesRead: PartRead[] = []
  const mapper = fields && createMapper({ fields, title: context?.title, ...mapping })

  async function* readPart(
    part: SlicePart,
    index: number,
  ): AsyncGenerator<SourceRecord[], PartRead, undefined> {
    if (isWholeFile(part.format))
      return yield* readWholeFile(store, part, { index, titled: context !== undefined, signal })
    if (!mapper) {
      throw new ReembedError(
        'JOB_INVALID',
        `${JSON.stringify(part.key)} is an object of records, but the plan has no field mapping: plan the run again`,
      )
    }
    const mapperOfPart = withPartition(
      onRecord ? observed(mapper, onRecord) : mapper,
      partitionOf(store, part.key),
    )
    return yield* await readRecords(store, part, { index, mapper: mapperOfPart, signal })
  }

  async function* batches(): AsyncGenerator<SourceRecord[], void, undefined> {
    for (const [index, part] of slice.parts.entries()) rangesRead.push(yield* readPart(part, index))
  }

  return { records: oneByOne(batches()), rangesRead, nulled: mapper?.nulled ?? {} }
}

const observed = (mapper: Mapper, onRecord: (record: object) => void): Mapper => ({
  ...mapper,
  map(record, position) {
    onRecord(record)
    return mapper.map(record, position)
  },
})

/** The fields of a record take precedence over the partition columns. */
function withPartition(mapper: Mapper, partition: Partition): Mapper {
  if (!mapper.paths.some(path => Object.hasOwn(partition, path))) return mapper
  return { ...mapper, map: (record, position) => mapper.map({ ...partition, ...record }, position) }
}

/**
 * Flattens batches. An async generator of three lines does the same but costs 0.3 us a record, a
 * fifth of the time to read a short line. Concurrent calls of `next` are not supported; `for await`
 * makes none.
 */
function oneByOne<T>(
  batches: AsyncGenerator<readonly T[], void, undefined>,
): AsyncIterableIterator<T, void, undefined> {
  let batch: Iterator<T> = [].values()

  async function nextBatch(): Promise<IteratorResult<T, void>> {
    const { done, value } = await batches.next()
    if (done) return { done, value: undefined }
    batch = value.values()
    const first = batch.next()
    return first.done ? nextBatch() : first
  }

  return {
    next() {
      const next = batch.next()
      return next.done ? nextBatch() : Promise.resolve(next)
    },
    async return() {
      batch = [].values()
      await batches.return()
      return { done: true, value: undefined }
    },
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
