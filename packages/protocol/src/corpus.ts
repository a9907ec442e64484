// The corpus: source objects, their format, and which fields are the id and the text.
// A slice is a re-readable range of source objects, fixed at plan time; it is all that a job points to.

/** How an object is read, told by its extension. */
export const FORMATS = ['jsonl', 'csv', 'tsv', 'parquet', 'arrow', 'text', 'markdown'] as const
export type Format = (typeof FORMATS)[number]

/** What an object of lines is compressed with, told by a second extension. */
export type Compression = 'gzip' | 'zstd'

/**
 * Which fields of a record are its id and its text. Unused by text and Markdown (one file, one document).
 * A nested field is named by its path, 'meta.title' or '/meta/title'; a field of that very name comes first.
 */
export interface FieldMapping {
  readonly id: string
  readonly text: string
}

/** Field names tried in this order when none is given. */
export const ID_FIELDS = ['id', '_id', 'doc_id', 'docid'] as const
export const TEXT_FIELDS = ['text', 'content', 'contents', 'body', 'passage'] as const

/** One object of the source as it was when the run was planned. */
export interface SourceObject {
  readonly key: string
  readonly size: number
  readonly etag: string
  readonly format: Format
  readonly compression?: Compression
}

/**
 * A range of one object, in the unit of its format:
 *
 *   JSONL, plain              bytes. A line belongs to the part in which its first byte lies: a reader starts at the
 *                             first line that begins at or after `start` and ends with the line that begins before
 *                             `end`. So nobody has to read the data to cut it.
 *   JSONL compressed, CSV     bytes after decompression, cut where a record begins: one pass when the run is planned
 *   Parquet, Arrow            rows
 *   text, Markdown            bytes, never cut: start 0, end = size
 *
 * The ranges of an object tile it from 0 to its extent.
 */
export interface SlicePart {
  readonly key: string
  readonly etag: string
  readonly size: number
  readonly format: Format
  readonly start: number
  readonly end: number
  /** Where the last range of the object ends, if that is not `size`. */
  readonly extent?: number
  readonly compression?: Compression
  /** Where decompression can begin: at byte `objectOffset` of the object, which is byte `contentOffset` of what it holds. */
  readonly seek?: { readonly objectOffset: number; readonly contentOffset: number }
  /** How the table is written; its header stands only at the start of the object. */
  readonly table?: CsvTable
}

/** What a reader has to know of a CSV object when it starts in the middle of it. */
export interface CsvTable {
  readonly delimiter: string
  readonly columns: readonly string[]
}

/** The source ranges of one job, in order. */
export interface Slice {
  readonly parts: readonly SlicePart[]
}

/** Where a record stands: part of the slice, offset in the part's unit, line or row within the part (1-based). */
export interface Position {
  readonly part: number
  readonly offset: number
  readonly line?: number
}

/** What a carried column can hold; every one of them may be null. */
export type CarriedType = 'string' | 'int32' | 'int64' | 'double' | 'boolean'

/** A field of the records that goes into the shard unchanged, as a column of its own. Fixed at plan time for all shards. */
export interface CarriedColumn {
  readonly name: string
  readonly type: CarriedType
}

/** The value of a carried column in one document. An int64 may come as a bigint; beyond 2^53 it must. */
export type CarriedValue = string | number | bigint | boolean | null

/** How documents are cut; part of the recipe. */
export interface Chunking {
  /** Tokens of a chunk, those that frame it and the prompt's included. */
  readonly maxTokens: number
  readonly overlapTokens: number
  /** SHA-256 of the tokenizer.json that counts; kept in the output under this name. */
  readonly tokenizer: string
}

/** Where a chunk lies in its document. */
export interface ChunkSpan {
  /** The id of the document; that of the chunk is `<docId>#<index>`. */
  readonly docId: string
  readonly index: number
  /** Offsets into the document's text, in UTF-16 units; the end is exclusive. */
  readonly charStart: number
  readonly charEnd: number
  /** The headings that the chunk stands under, outermost first. */
  readonly headings: readonly string[]
}

/** A record with id and text. */
export interface Document {
  readonly kind: 'document'
  readonly id: string
  readonly text: string
  readonly position: Position
  /** By the name of the column; a column that is not in it is null here. Each value fits its column's type. */
  readonly carried?: Readonly<Record<string, CarriedValue>>
  /** Only where documents are cut into chunks: then this is one of them. */
  readonly chunk?: ChunkSpan
}

/** Why a document could not be embedded. */
export type RejectReason =
  | 'invalid_json'
  | 'invalid_utf8'
  | 'invalid_record'
  | 'missing_id'
  | 'invalid_id'
  | 'missing_text'
  | 'invalid_text'
  | 'empty_text'
  | 'too_large'
  | 'duplicate_id'
  | 'refused_by_model'
  | 'invalid_vector'

/** A document that can't be embedded, with its reason. `message` never contains the text. */
export interface Reject {
  readonly kind: 'reject'
  readonly id?: string
  readonly reason: RejectReason
  readonly message: string
  readonly position: Position
}

/** What reading a slice yields, in source order. */
export type SourceRecord = Document | Reject

/**
 * What was really read of a part, in its unit: the range, aligned to records, and its number of lines or rows (1 for a
 * whole-file document). Neighbouring shards' ranges must meet, which is how `verify` proves that no byte was skipped
 * or read twice.
 */
export interface PartRead {
  readonly key: string
  readonly etag: string
  readonly start: number
  readonly end: number
  readonly lines: number
}
