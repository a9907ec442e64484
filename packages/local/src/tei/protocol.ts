// The messages between startEndpoint and the process of the server.

import type { ErrorCode } from '@reembed/shared'
import type { TeiFlags } from './flags.ts'
import type { HashEngineOptions } from './hash-engine.ts'

export interface StartEndpointOptions extends TeiFlags {
  /** 'onnx' runs a model; 'hash' returns vectors that a test can compute. Default 'onnx'. */
  readonly engine?: 'onnx' | 'hash' | undefined
  /**
   * For 'onnx': a model folder, or a Hub id (`BAAI/bge-small-en-v1.5`, `name@revision`); default
   * all-MiniLM-L6-v2. For 'hash': the model id.
   */
  readonly model?: string | undefined
  /** Options of the engine 'hash'. */
  readonly hash?: Omit<HashEngineOptions, 'model'> | undefined
  /** Aborts the start. A started endpoint is stopped by disposing it. */
  readonly signal?: AbortSignal | undefined
}

export type StartResult =
  | { readonly url: string; readonly tokenizer?: string | undefined }
  | { readonly failure: { readonly code: ErrorCode; readonly message: string } }

export type Start = Omit<StartEndpointOptions, 'signal'>
