// What the cards of well-known models put before documents and queries. Most of their repositories
// do not state it in a file that a program can read, and a model without its prompt returns vectors
// that are only worse. A repository that states it is read by `resolvePrompt`.

import type { ModelIdentity } from '@reembed/protocol'

export interface DocumentedPrompts {
  /** '' where the card puts nothing before documents. */
  readonly document: string
  readonly query: string
  /** URL of the card of a model of the family. */
  readonly card: string
}

const SEARCH = 'Represent this sentence for searching relevant passages: '
const INSTRUCT = 'Instruct: <task>\nQuery: '

/** By the last part of the model's name, in lower case. The first match counts. */
const FAMILIES: readonly (readonly [RegExp, DocumentedPrompts])[] = [
  [
    /^(?:multilingual-e5-large-instruct|e5-mistral-7b-instruct)$/,
    of('', INSTRUCT, 'intfloat/e5-mistral-7b-instruct'),
  ],
  [
    /^(?:multilingual-)?e5-(?:small|base|large)(?:-v2|-unsupervised)?$/,
    of('passage: ', 'query: ', 'intfloat/e5-base-v2'),
  ],
  [/^bge-(?:small|base|large)-en(?:-v1\.5)?$/, of('', SEARCH, 'BAAI/bge-base-en-v1.5')],
  [
    /^bge-(?:small|base|large)-zh(?:-v1\.5)?$/,
    of('', '为这个句子生成表示以用于检索相关文章：', 'BAAI/bge-base-zh-v1.5'),
  ],
  [
    /^nomic-embed-text(?:-v\d.*)?$/,
    of('search_document: ', 'search_query: ', 'nomic-ai/nomic-embed-text-v1.5'),
  ],
  [
    /^modernbert-embed-(?:base|large)$/,
    of('search_document: ', 'search_query: ', 'nomic-ai/modernbert-embed-base'),
  ],
  [/^snowflake-arctic-embed-(?:m|l)-v2\.0$/, of('', 'query: ', 'Snowflake/snowflake-arctic-embed-l-v2.0')],
  [
    /^snowflake-arctic-embed-(?:xs|s|m|l|m-long|m-v1\.5)$/,
    of('', SEARCH, 'Snowflake/snowflake-arctic-embed-m-v1.5'),
  ],
  [/^mxbai-embed-large-v1$/, of('', SEARCH, 'mixedbread-ai/mxbai-embed-large-v1')],
  [/^gte-qwen2-.*-instruct$/, of('', INSTRUCT, 'Alibaba-NLP/gte-Qwen2-7B-instruct')],
  [/^qwen3-embedding-.*$/, of('', 'Instruct: <task>\nQuery:', 'Qwen/Qwen3-Embedding-0.6B')],
  [
    /^embeddinggemma-.*$/,
    of('title: none | text: ', 'task: search result | query: ', 'google/embeddinggemma-300m'),
  ],
  [/^ruri-v3-.*$/, of('検索文書: ', '検索クエリ: ', 'cl-nagoya/ruri-v3-310m')],
]

function of(document: string, query: string, model: string): DocumentedPrompts {
  return { document, query, card: `https://huggingface.co/${model}` }
}

/** The prompts that the model's card states; undefined for other models. */
export function documentedPrompts({ id }: Pick<ModelIdentity, 'id'>): DocumentedPrompts | undefined {
  const name = (id.split('/').at(-1) ?? '').toLowerCase().replace(/:.*$|-gguf$|-onnx$/g, '')
  return FAMILIES.find(([pattern]) => pattern.test(name))?.[1]
}

/** A prompt of documents that differs from the one that the model's card states. */
export interface PromptMismatch extends DocumentedPrompts {
  readonly model: string
  /** What is put before documents; '' for nothing. */
  readonly prompt: string
}

/**
 * Compares what is put before each document with the model's card. Undefined where they agree, for
 * a model that is not known, and for one whose card states no prompt of documents, unless its
 * prompt of queries is put there.
 * @param applied the server's default prompt; null where it is unknown
 */
export function promptMismatch(
  model: Pick<ModelIdentity, 'id'>,
  {
    prompt = '',
    template = '',
    applied,
  }: {
    readonly prompt?: string | undefined
    readonly template?: string | undefined
    readonly applied: string | null
  },
): PromptMismatch | undefined {
  const documented = documentedPrompts(model)
  if (documented === undefined) return undefined
  const sent = (applied ?? '') + prompt + template
  const { document, query } = documented
  const startsWith = (expected: string): boolean => expected !== '' && sent.startsWith(expected.trimEnd())
  const agrees = document === '' ? !startsWith(query) : startsWith(document)
  return agrees ? undefined : { ...documented, model: model.id, prompt: (applied ?? '') + prompt }
}
