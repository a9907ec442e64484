// A corpus that is open: its objects, and where they are read.

import type { CsvDialect, Format, SourceObject, SourceTable } from '@reembed/protocol'
import type { OpenStoreOptions, Store } from '@reembed/store'

export interface OpenCorpusOptions {
  /** Reads every object as this format, whatever its extension. */
  readonly format?: Format | undefined
  /** How CSV and TSV objects are written; what is not stated is found from each object. */
  readonly csv?: CsvDialect | undefined
  /**
   * URL of the output of the run. Refused if the output lies in the corpus, or the corpus in the
   * output.
   */
  readonly output?: string | undefined
  readonly s3?: OpenStoreOptions['s3']
  readonly signal?: AbortSignal | undefined
}

export interface ListCorpusOptions {
  /** Called with the key of each object that is skipped because its extension is unknown. */
  readonly onSkip?: (key: string) => void
  readonly signal?: AbortSignal | undefined
}

export interface Corpus extends AsyncDisposable {
  /** Keys are relative to its root. For a single object that is the folder or prefix it lies in. */
  readonly store: Store
  /** Set if the corpus is a table: by its log, or of a database. */
  readonly table?: SourceTable
  /** Set if the corpus is only a sample of what a run reads: its share of the bytes. */
  readonly share?: number
  /** The field of the id unless the user names another; undefined: one of the usual names. */
  readonly usualId?: string | undefined
  /** Refuses the path of a field that the records cannot have. */
  readonly requireField?: (path: string, option: string) => void
  /** Set if a run reads a copy in its output: makes the copy. The output stays open. */
  readonly copyTo?: (output: Store, options: CopyOptions) => Promise<Corpus>
  /** The objects to read, in key order. */
  objects(options?: ListCorpusOptions): AsyncGenerator<SourceObject, void, undefined>
}

/** How a table of a database is copied into an output. */
export interface CopyOptions {
  /** Paths of the fields that the run reads: other columns are not copied. */
  readonly paths: Iterable<string>
  /** The path of the id. */
  readonly id: string
  /** Called with the number of rows that were read. */
  readonly onCopied: (rows: number) => void
  readonly signal?: AbortSignal | undefined
}
