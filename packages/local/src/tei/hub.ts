// Models of the Hugging Face Hub, cached on disk. A folder of the cache is written under a
// temporary name and then renamed, so it is complete, and it never changes: `main` stays the commit
// of its first use until the folder is deleted.

import { createWriteStream, existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { codeOf, ReembedError } from '@reembed/shared'
import { createHubClient, escapeHubPath } from '@reembed/store'

export interface DownloadedModel {
  readonly folder: string
  readonly id: string
  /** The commit that the files are of. */
  readonly commit: string
}

const FILES = ['config.json', 'tokenizer.json']
const OPTIONAL_FILES = [
  'tokenizer_config.json',
  'sentence_bert_config.json',
  'config_sentence_transformers.json',
  '1_Pooling/config.json',
]
/** A large model stores its weights in a file next to the graph. */
const GRAPHS = [
  ['onnx/model.onnx', 'onnx/model.onnx_data'],
  ['model.onnx', 'model.onnx_data'],
  // The weights of a BERT encoder, from which the graph is made.
  ['model.safetensors', undefined],
] as const

/** The files of `<id>` or `<id>@<revision>`, from the cache, else from the Hub. */
export async function downloadModel(name: string): Promise<DownloadedModel> {
  const [id = name, revision = 'main'] = name.split('@')
  const folder = join(cacheFolder(), 'models', `${id}@${revision}`.replace(/[^A-Za-z0-9._@-]/g, '--'))
  const commitFile = join(folder, '.commit')
  if (!existsSync(commitFile)) {
    await mkdir(dirname(folder), { recursive: true })
    const partial = await mkdtemp(`${folder}.partial-`)
    try {
      await writeFile(join(partial, '.commit'), await fetchFiles(id, revision, partial))
      // A concurrent process may have renamed its folder first, with the same files.
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
 * REEMBED_CACHE, else `.cache/reembed` in the nearest node_modules, so that the cache is
 * removed together with the install.
 */
function cacheFolder(): string {
  const given = process.env.REEMBED_CACHE
  if (given) return given
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'node_modules'))) return join(folder, 'node_modules', '.cache', 'reembed')
    if (folder === dirname(folder))
      throw new ReembedError(
        'USAGE',
        'found no node_modules folder for the model cache: set REEMBED_CACHE to a folder',
      )
  }
}

/**
 * Returns the commit. All files after the first are requested at its commit, so they belong
 * together.
 */
async function fetchFiles(id: string, revision: string, folder: string): Promise<string> {
  const hub = createHubClient({
    codes: { unreachable: 'ENDPOINT_UNREACHABLE', accessDenied: 'ENDPOINT_ACCESS_DENIED' },
    alternative: 'give the folder of a model, or no model for all-MiniLM-L6-v2',
  })
  let commit = revision
  async function get(file: string): Promise<boolean> {
    const subject = `${file} of model ${id}`
    const response = await hub.request(
      `/${escapeHubPath(id)}/resolve/${encodeURIComponent(commit)}/${escapeHubPath(file)}`,
      { subject },
    )
    if (!response.ok) {
      await response.cancel()
      return false
    }
    commit = response.headers.get('x-repo-commit') ?? commit
    const path = join(folder, file)
    await mkdir(dirname(path), { recursive: true })
    await pipeline(response.body(), createWriteStream(path)).catch((error: unknown) => {
      // Errors of the disk have a code of their own; fetch wraps those of the connection.
      throw codeOf(error) === undefined ? hub.unreachable(subject, error) : error
    })
    return true
  }

  for (const file of FILES) {
    if (!(await get(file))) {
      throw new ReembedError(
        'USAGE',
        `The Hub at ${hub.endpoint} has no ${file} of model ${id} at revision ${revision}: check model and revision`,
      )
    }
  }
  for (const file of OPTIONAL_FILES) await get(file)
  for (const [graph, data] of GRAPHS) {
    if (await get(graph)) {
      if (data !== undefined) await get(data)
      return commit
    }
  }
  throw new ReembedError(
    'ENDPOINT_UNSUPPORTED',
    `The Hub at ${hub.endpoint} has neither onnx/model.onnx nor model.safetensors of model ${id}: export one with optimum-cli export onnx, and give its folder`,
  )
}
