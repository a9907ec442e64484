// Options of a plan, and the notices that planning reports in addition to its result.

import type { GateOptions } from '@reembed/evaluate'
import type { CsvTable, Dtype, SourceTable, TextEstimate } from '@reembed/protocol'
import type { Consumer } from '@reembed/shard'
import type { PromptMismatch } from './documented-prompts.ts'
import type { KeptLimit } from './publish-limits.ts'
import type { SpendingOptions } from './run-budget.ts'
import type { ColumnFit } from './sample-fit.ts'

/** All options of a plan. The same corpus, model and options give the same run. */
export interface PlanOptions {
  /**
   * Fields of JSONL, CSV, Parquet and Arrow records; the id and the text are chosen from a sample
   * by default.
   */
  readonly fields?:
    | {
        /** A field name or a path. */
        readonly id?: string | undefined
        readonly text?: string | undefined
        /** Makes the text of several fields: '{{ title }}\n\n{{ text }}'. */
        readonly template?: string | undefined
        /**
         * Fields that become columns of the shards: 'lang', with a type 'year:int32', under another
         * name 'language=lang'. A value that the type cannot hold becomes null and is counted; with
         * a '!' at the end it rejects its document.
         */
        readonly carry?: readonly string[] | undefined
      }
    | undefined
  /**
   * Cuts documents into chunks, with the tokenizer of the model. By default, files of text and
   * Markdown are cut at the model's limit if some exceed it, and records are not cut. False: no
   * document is cut.
   */
  readonly chunking?:
    | false
    | {
        readonly maxTokens?: number | undefined
        /** Tokens that a chunk repeats of the chunk before it; default 0. */
        readonly overlapTokens?: number | undefined
        /**
         * Puts the title of the document (the field `title` of records; of files the first heading,
         * else the name) and the headings above a chunk in front of its text. Default false.
         */
        readonly context?: boolean | undefined
      }
    | undefined
  /**
   * The model's tokenizer.json, or a folder with it. Counts tokens for the quote, and cuts chunks.
   * Default: that of the model folder, else that of the model's repository on the Hub, else what
   * the endpoint's `/tokenize` shows.
   */
  readonly tokenizer?: string | undefined
  /** A folder with the model's files: its tokenizer and named prompts are read from there. */
  readonly modelFolder?: string | undefined
  /** Text in front of each document, as the model card asks. */
  readonly prompt?: string | undefined
  /** The prompt by its name in the model's config_sentence_transformers.json. Excludes `prompt`. */
  readonly promptName?: string | undefined
  /**
   * The Hub from which named prompts and the tokenizer are read if no local folder contains them;
   * default HF_ENDPOINT, else https://huggingface.co.
   */
  readonly hub?: { readonly url?: string | undefined; readonly token?: string | undefined } | undefined
  /** Whether texts over the model's limit are cut (default); else they are rejects. */
  readonly truncate?: boolean | undefined
  readonly vectors?:
    | {
        /**
         * Number of leading dimensions to keep, normalised again; for models that are trained for
         * it.
         */
        readonly dimensions?: number | undefined
        readonly dtype?: Dtype | undefined
        /** Keeps each document's text in the shards. */
        readonly includeText?: boolean | undefined
        /** Declares vectors as a fixed-size list to Arrow readers. */
        readonly arrowSchema?: boolean | undefined
      }
    | undefined
  /** About how many documents a shard holds. */
  readonly documentsPerShard?: number | undefined
  /**
   * Maximum number of rejects with which the run is still published: '20' or '1%'; default '1%'.
   */
  readonly maxRejects?: string | undefined
  /** Share of the text that the model may leave unread in a published run: '1%'; default: any. */
  readonly maxTruncated?: string | undefined
  /**
   * Takes unchanged vectors from the current version (default), from the named run, or, if false,
   * from none.
   */
  readonly reuse?: false | { readonly run?: string | undefined } | undefined
  /**
   * The databases that will load the run: `consumerOf` of `@reembed/sinks`. Vectors, columns and
   * sampled documents that one of them cannot hold are refused.
   */
  readonly consumers?: readonly Consumer[] | undefined
  /** Gates that the run must pass before it is published. */
  readonly gates?: GateOptions | undefined
  /** Text in front of each query, as the model card asks. */
  readonly queryPrompt?: string | undefined
  readonly spending?: SpendingOptions | undefined
}

/** What planning does, in this order. */
export type PlanStep =
  | 'listing'
  | 'sampling'
  | 'copying'
  | 'connecting'
  | 'reference'
  | 'measuring_tokens'
  | 'slicing'
  | 'comparing'
  | 'counting_tokens'
  | 'measuring'
  | 'embedding_sample'
  | 'recording'

/** A fact that planning reports while it continues. */
export type PlanNotice =
  /** What planning does, and how far it is. */
  | {
      readonly kind: 'progress'
      readonly step: PlanStep
      readonly done: number
      /** Undefined where the total is not known. */
      readonly of?: number | undefined
    }
  /** Files exceed the model's limit, so they are cut into chunks of that many tokens. */
  | { readonly kind: 'chunked_by_default'; readonly limit: number }
  /** Files exceed the model's limit, and are not cut because the tokenizer was not found. */
  | { readonly kind: 'tokenizer_not_found'; readonly limit: number; readonly reason: string }
  /** The tokenizer was not found: the endpoint's `/tokenize` shows what texts cost. */
  | { readonly kind: 'tokens_measured'; readonly url: string; readonly reason: string }
  /** An earlier run measured the costs, which are kept: other chunks would be embedded again. */
  | { readonly kind: 'tokens_measured_before' }
  /** The model will not read a part of the text, by estimate. */
  | { readonly kind: 'text_unread'; readonly texts: TextEstimate }
  /**
   * The run was planned before, with other limits of publishing than those given now. Its plan is
   * never overwritten, so it keeps them.
   */
  | { readonly kind: 'limits_kept'; readonly limits: readonly KeptLimit[] }
  /** The endpoint is waited for, or limits its requests. */
  | { readonly kind: 'endpoint_state'; readonly state: string }
  /** The endpoint states no revision of its model: reference vectors identify the model instead. */
  | { readonly kind: 'revision_unstated'; readonly url: string }
  /** The model's card puts another text before documents than this run. */
  | { readonly kind: 'prompt_mismatch'; readonly mismatch: PromptMismatch }
  /** The server prepends its own default prompt to every text. */
  | { readonly kind: 'server_prompt'; readonly url: string; readonly prompt: string }
  /** Objects without a byte, which hold no document. */
  | { readonly kind: 'objects_empty'; readonly count: number; readonly examples: readonly string[] }
  /** Objects left out: unknown by extension, or their name begins with an underscore. */
  | { readonly kind: 'objects_skipped'; readonly count: number; readonly examples: readonly string[] }
  /**
   * Text or Markdown objects in a corpus that also has objects of records. Each file becomes one
   * document.
   */
  | { readonly kind: 'files_among_records'; readonly count: number; readonly examples: readonly string[] }
  /** How a CSV or TSV object is read. */
  | { readonly kind: 'csv_dialect'; readonly key: string; readonly table: CsvTable }
  /** A consumer holds the vectors, but not as well as others. */
  | { readonly kind: 'consumer_warning'; readonly message: string }
  /** The corpus is a table, of which the current files are read. */
  | { readonly kind: 'table'; readonly table: SourceTable }
  /** Some of the sampled records would be rejected. */
  | {
      readonly kind: 'sample_rejects'
      readonly rejected: number
      readonly records: number
      readonly message: string
    }
  /** A carried column cannot hold some of its sampled values, or holds NaN or infinities. */
  | { readonly kind: 'column_fit'; readonly fit: ColumnFit }
  /** Each slice of a compressed object decompresses it from the start. */
  | {
      readonly kind: 'repeated_decompression'
      readonly key: string
      readonly compression: string
      readonly slices: number
      /** How often the object is decompressed in all. */
      readonly factor: number
    }
  /** The quote states no time: the endpoint did not answer the measurement. */
  | { readonly kind: 'rate_not_measured'; readonly error: unknown }
