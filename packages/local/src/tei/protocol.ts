// The messages between startEndpoint and the process that serves the model.

import type { ErrorCode } from '@reembed/shared'
import type { TeiFlags } from './flags.ts'
import type { HashEngineOptions } from './hash-engine.ts'

export interface StartEndpointOptions extends TeiFlags {
  /** 'onnx' runs a model; 'hash' gives vectors that any test can compute. Default 'onnx'. */
  readonly engine?: 'onnx' | 'hash' | undefined
  /**
   * For 'onnx': a folder in the usual ONNX layout, or a Hub id (`BAAI/bge-small-en-v1.5`, `name@revision`); default
   * all-MiniLM-L6-v2. For 'hash': the name it goes by.
   */
  readonly model?: string | undefined
  /** For 'hash' alone. */
  readonly hash?: Omit<HashEngineOptions, 'model'> | undefined
  /** Gives up starting; an endpoint that runs already is ended by disposing it. */
  readonly signal?: AbortSignal | undefined
}

export type StartResult =
  | { readonly url: string }
  | { readonly failure: { readonly code: ErrorCode; readonly message: string } }

export type Start = Omit<StartEndpointOptions, 'signal'>
