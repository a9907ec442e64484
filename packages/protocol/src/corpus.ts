// The corpus: source objects, their format, and the fields of id and text. A slice is a range of
// source objects that a worker can read repeatedly; the plan fixes it, and a job refers to one
// slice.

import {
  bool,
  count,
  either,
  filledText,
  list,
  none,
  oneOf,
  optional,
  positive,
  record,
  type Shape,
  text,
} from '@reembed/shared'

/** Source formats. The extension of an object selects one. */
export const FORMATS = ['jsonl', 'csv', 'tsv', 'parquet', 'arrow', 'text', 'markdown', 'html', 'pdf'] as const
export type Format = (typeof FORMATS)[number]

/** Compression of a line-based object. A second extension selects it. */
export type Compression = 'gzip' | 'zstd'

/**
 * The fields of a record that are its id and its text. Text, Markdown, HTML and PDF do not use it:
 * a file is one document. A path names a nested field, 'meta.title' or '/meta/title'; a field with
 * exactly that name takes precedence.
 */
export interface FieldMapping {
  readonly id: string
  readonly text: string
}

/** Default field names of the id, in order of preference. */
export const ID_FIELDS = ['id', '_id', 'doc_id', 'docid'] as const
/** Default field names of the text, in order of preference. */
export const TEXT_FIELDS = ['text', 'content', 'contents', 'body', 'passage'] as const
/** Default field name of the title, which only the context of chunks uses. */
export const TITLE_FIELD = 'title'

/** The state of a table that a run reads. */
export type SourceTable = DeltaTable | DatabaseTable

/** A table that is read by its log: the snapshot of a run. */
export interface DeltaTable {
  readonly format: 'delta'
  readonly version: number
  /** The current data files. */
  readonly files: number
}

/**
 * A table of PostgreSQL or a collection of Qdrant, whose rows were copied into the output when the
 * run was planned.
 */
export interface DatabaseTable {
  readonly format: 'postgres' | 'qdrant'
  /** `postgres://host:port/database` or `qdrant+https://host:port`, without credentials. */
  readonly address: string
  readonly name: string
  readonly rows: number
  /**
   * The snapshot that was read: of PostgreSQL as it writes it; of Qdrant the time between two
   * readings that gave the same rows. Empty where only a sample was read.
   */
  readonly snapshot: string
  /** Set if the last two readings differ: the blocks of rows that do, and all. */
  readonly edited?: { readonly blocks: number; readonly of: number } | undefined
}

/** Whether the rows of a run were copied into its output. */
export const isCopied = (table: SourceTable | undefined): table is DatabaseTable =>
  table !== undefined && table.format !== 'delta'

export const sourceTableShape: Shape = either(
  record<DeltaTable>({ format: oneOf(['delta']), version: count, files: count }),
  record<DatabaseTable>({
    format: oneOf(['postgres', 'qdrant']),
    address: filledText,
    name: filledText,
    rows: count,
    snapshot: text,
    edited: optional(record<NonNullable<DatabaseTable['edited']>>({ blocks: positive, of: positive })),
  }),
)

/** The part of the key of a copied block that edits of its rows do not change. */
export const blockNameOf = (key: string): string => key.replace(/-.*/, '')

/** The part of a key that an object keeps when its content changes. */
export const lastingKeyOf = (table: SourceTable | undefined, key: string): string =>
  isCopied(table) ? blockNameOf(key) : key

/** One object of the source at plan time. */
export interface SourceObject {
  readonly key: string
  readonly size: number
  readonly etag: string
  readonly format: Format
  readonly compression?: Compression
  /** What the user stated about the dialect of a CSV or TSV object; the rest is found. */
  readonly csv?: CsvDialect
}

/**
 * A range of one object, in the unit of its format:
 *
 *   JSONL, plain              bytes. A line belongs to the part that contains its first byte: a reader starts at the
 *                             first line that begins at or after `start` and ends with the last line that begins
 *                             before `end`. So the planner need not read the data to cut it.
 *   JSONL compressed, CSV     bytes after decompression, cut at the start of a record in one pass at plan time
 *   Parquet, Arrow            rows
 *   text, Markdown, HTML, PDF bytes, never cut: start 0, end = size
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
  /** End of the object's last range in the unit of the format, if it differs from `size`. */
  readonly extent?: number
  readonly compression?: Compression
  /**
   * A start point for decompression: byte `objectOffset` of the object is byte `contentOffset` of
   * its content.
   */
  readonly seek?: { readonly objectOffset: number; readonly contentOffset: number }
  /** Delimiter and columns of a CSV object, because only the start of the object has the header. */
  readonly table?: CsvTable
}

/** How a CSV or TSV object is written, as far as the user states it. */
export interface CsvDialect {
  readonly delimiter?: string
  /** The quote around fields; null if quotes are text. */
  readonly quote?: string | null
  /** How a quote in a quoted field is written: twice, or behind a backslash. */
  readonly escaping?: 'double' | 'backslash'
  /** Whether the first row names the columns. */
  readonly header?: boolean
}

/** The layout of a CSV object, for a reader that starts in its middle. */
export interface CsvTable extends CsvDialect {
  readonly delimiter: string
  /** 'column1', 'column2', … without a header. */
  readonly columns: readonly string[]
}

/** The source ranges of one job, in order. */
export interface Slice {
  readonly parts: readonly SlicePart[]
}

export const sliceShape: Shape = record<Slice>({
  parts: list(
    record<SlicePart>({
      key: text,
      etag: text,
      size: count,
      format: oneOf(FORMATS),
      start: count,
      end: count,
      extent: optional(count),
      compression: optional(oneOf(['gzip', 'zstd'] satisfies Compression[])),
      seek: optional(record<NonNullable<SlicePart['seek']>>({ objectOffset: count, contentOffset: count })),
      table: optional(
        record<CsvTable>({
          delimiter: text,
          columns: list(text),
          quote: optional(either(text, none)),
          escaping: optional(oneOf(['double', 'backslash'])),
          header: optional(bool),
        }),
      ),
    }),
  ),
})

/**
 * The position of a record: part of the slice, offset in the part's unit, line or row within the
 * part (1-based).
 */
export interface Position {
  readonly part: number
  readonly offset: number
  readonly line?: number
}

/** Types of a carried column. Each value may be null. */
export const CARRIED_TYPES = ['string', 'int32', 'int64', 'double', 'boolean'] as const
export type CarriedType = (typeof CARRIED_TYPES)[number]

/**
 * A field that is copied unchanged into a column of the shard. The plan fixes it for all shards.
 */
export interface CarriedColumn {
  readonly name: string
  readonly type: CarriedType
  /** Path of the field, if it differs from the name of the column. */
  readonly from?: string | undefined
  /** A value that the column cannot hold rejects its document; by default it becomes null. */
  readonly strict?: boolean | undefined
}

/**
 * The value of a carried column in one document. An int64 beyond 2^53 must be a bigint; a smaller
 * one may be.
 */
export type CarriedValue = string | number | bigint | boolean | null

/** How documents are cut into chunks; part of the recipe. */
export interface Chunking {
  /** Maximum tokens of a chunk, including special tokens and the prompt. */
  readonly maxTokens: number
  readonly overlapTokens: number
  /**
   * SHA-256 of the tokenizer.json that counts tokens. The output keeps the file, see
   * `tokenizerKey`.
   */
  readonly tokenizer: string
  /** Set if each chunk has its context in front: the title of its document and its headings. */
  readonly context?: ChunkContext | undefined
}

export interface ChunkContext {
  /** The field of records that is their title; files have their first heading or their name. */
  readonly title?: string | undefined
}

export const chunkingShape: Shape = record<Chunking>({
  maxTokens: positive,
  overlapTokens: count,
  tokenizer: filledText,
  context: optional(record<ChunkContext>({ title: optional(text) })),
})

/** The position of a chunk in its document. */
export interface ChunkSpan {
  /**
   * The id of the document. A chunk has `<docId>#<index>`; or the same if it is the whole text and
   * the id does not end like that of a chunk.
   */
  readonly docId: string
  readonly index: number
  /** Offsets into the document's text, in UTF-16 units; the end is exclusive. */
  readonly charStart: number
  readonly charEnd: number
  /** The headings above the chunk, outermost first. */
  readonly headings: readonly string[]
}

/** A record with id and text. */
export interface Document {
  readonly kind: 'document'
  readonly id: string
  readonly text: string
  readonly position: Position
  /** Only if the context of chunks needs it. */
  readonly title?: string
  /** Values by column name; a missing column is null. Each value has its column's type. */
  readonly carried?: Readonly<Record<string, CarriedValue>>
  /** Set if documents are cut into chunks: this document is one chunk. */
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

/** A document that cannot be embedded, with the reason. `message` never contains the text. */
export interface Reject {
  readonly kind: 'reject'
  readonly id?: string
  readonly reason: RejectReason
  readonly message: string
  readonly position: Position
}

/** An element of a slice, in source order. */
export type SourceRecord = Document | Reject

/**
 * The range of a part that a worker read, in the part's unit, aligned to records, and the number of
 * lines or rows (1 for a whole-file document). Ranges of neighbouring shards must meet: `verify`
 * proves by them that no byte was skipped or read twice.
 */
export interface PartRead {
  readonly key: string
  readonly etag: string
  readonly start: number
  readonly end: number
  readonly lines: number
}
