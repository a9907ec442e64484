// A disk cache of models of the Hugging Face Hub. A folder appears atomically by rename and is
// never updated: `main` keeps the commit of the first use until its folder is removed.

import { createWriteStream, existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { codeOf, messageOf, ReembedError } from '@reembed/shared'

export interface DownloadedModel {
  readonly folder: string
  readonly id: string
  /** The commit of the files. */
  readonly commit: string
}

const FILES = ['config.json', 'tokenizer.json']
const OPTIONAL_FILES = [
  'tokenizer_config.json',
  'sentence_bert_config.json',
  'config_sentence_transformers.json',
  '1_Pooling/config.json',
]
/** Large models store their weights in a second file beside the graph. */
const GRAPHS = [
  ['onnx/model.onnx', 'onnx/model.onnx_data'],
  ['model.onnx', 'model.onnx_data'],
] as const

/**
 * Returns the files of `<id>` or `<id>@<revision>` from the cache, or downloads them from
 * HF_ENDPOINT.
 */
export async function downloadModel(name: string): Promise<DownloadedModel> {
  const [id = name, revision = 'main'] = name.split('@')
  const folder = join(cacheFolder(), 'models', `${id}@${revision}`.replace(/[^A-Za-z0-9._@-]/g, '--'))
  const commitFile = join(folder, '.commit')
  if (!existsSync(commitFile)) {
    await mkdir(dirname(folder), { recursive: true })
    const partial = await mkdtemp(`${folder}.partial-`)
    try {
      await writeFile(join(partial, '.commit'), await fetchFiles(id, revision, partial))
      // A concurrent process may have created the folder with the same files.
      await rename(partial, folder).catch((error: unknown) => {
        if (!existsSync(commitFile)) throw error
      })
    } finally {
      await rm(partial, { recursive: true, force: true })
    }
  }
  return { folder, id, commit: await readFile(commitFile, 'utf8') }
}

/**
 * REEMBED_CACHE, else `.cache/reembed` in the nearest node_modules, which uninstalling removes too.
 */
function cacheFolder(): string {
  const given = process.env.REEMBED_CACHE
  if (given) return given
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'node_modules'))) return join(folder, 'node_modules', '.cache', 'reembed')
    if (folder === dirname(folder))
      throw new ReembedError(
        'USAGE',
        'no node_modules folder to cache models in: set REEMBED_CACHE to a folder for models',
      )
  }
}

/**
 * Returns the commit. Requests all files after the first at its commit, so that they are
 * consistent.
 */
async function fetchFiles(id: string, revision: string, folder: string): Promise<string> {
  const host = (process.env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, '')
  let commit = revision
  async function get(file: string): Promise<boolean> {
    const response = await request(`${host}/${id}/resolve/${commit}/${file}`, id, host)
    if (response === undefined) return false
    commit = response.headers.get('x-repo-commit') ?? commit
    const path = join(folder, file)
    await mkdir(dirname(path), { recursive: true })
    await pipeline(Readable.fromWeb(response.body ?? new ReadableStream()), createWriteStream(path)).catch(
      (error: unknown) => {
        // Errors of the disk have a code; fetch wraps those of the connection in an error without
        // one.
        throw codeOf(error) === undefined ? unreachable(host, id, error) : error
      },
    )
    return true
  }

  for (const file of FILES) {
    if (!(await get(file)))
      throw new ReembedError(
        'USAGE',
        `${host} has no ${file} of model ${id} at revision ${revision}: check the model id and revision`,
      )
  }
  for (const file of OPTIONAL_FILES) await get(file)
  for (const [graph, data] of GRAPHS) {
    if (await get(graph)) {
      await get(data)
      return commit
    }
  }
  throw new ReembedError(
    'ENDPOINT_UNSUPPORTED',
    `model ${id} has no onnx/model.onnx on ${host}: create one with optimum-cli export onnx, and use its folder as the model`,
  )
}

/** Returns undefined if the Hub has no such file. */
async function request(url: string, id: string, host: string): Promise<Response | undefined> {
  const token = process.env.HF_TOKEN
  const headers = token ? { authorization: `Bearer ${token}` } : {}
  const response = await fetch(url, { headers }).catch((error: unknown) => {
    throw unreachable(host, id, error)
  })
  if (response.ok) return response
  await response.body?.cancel()
  if (response.status === 404) return undefined
  // The Hub answers 401 for a model that does not exist as well as for one that needs a token.
  if (response.status === 401 || response.status === 403) {
    throw new ReembedError(
      'ENDPOINT_ACCESS_DENIED',
      `${host} refused access to model ${id} (${response.status}): check the model id, or set HF_TOKEN`,
    )
  }
  throw new ReembedError(
    'ENDPOINT_UNREACHABLE',
    `${host} answered ${response.status} for model ${id}: retry later`,
  )
}

function unreachable(host: string, id: string, error: unknown): ReembedError {
  const why = (error instanceof Error ? codeOf(error.cause) : undefined) ?? messageOf(error)
  const remedy = 'set HF_ENDPOINT to a mirror, use a model folder, or use the default all-MiniLM-L6-v2'
  return new ReembedError(
    'ENDPOINT_UNREACHABLE',
    `${host} cannot be reached for model ${id} (${why}): ${remedy}`,
    {
      cause: error,
    },
  )
}
