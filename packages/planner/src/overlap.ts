// Refuses an output inside the corpus, which the next run would read as documents, and a corpus
// inside the output, among keys that reembed owns. Both before anything is written.

import { realpath } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { codeOf, ReembedError } from '@reembed/shared'

/**
 * @throws ReembedError OUTPUT_INSIDE_SOURCE if one of the two lies in the other, after links and
 * dots are resolved.
 */
export async function refuseOverlap(source: string, output: string): Promise<void> {
  const [from, to] = await Promise.all([canonicalUrl(source), canonicalUrl(output)])
  if (!isWithin(from, to) && !isWithin(to, from)) return
  const relation = isWithin(to, from) ? (isWithin(from, to) ? 'is' : 'lies inside') : 'contains'
  throw new ReembedError(
    'OUTPUT_INSIDE_SOURCE',
    `the output '${output}' ${relation} the source '${source}': choose an output that is outside the source and does not contain it`,
  )
}

/** An absolute URL that ends with '/'. */
async function canonicalUrl(url: string): Promise<string> {
  if (url.startsWith('hf://')) return `${url}/`
  if (url.startsWith('s3://')) return `${url.replace(/\/+$/, '').replace(/^(s3:\/\/[^/]+)\/+/, '$1/')}/`
  return `file://${(await realPathOf(localPath(url))).replace(/\/$/, '')}/`
}

/** The absolute local path, from a path or a file:// URL. */
export function localPath(url: string): string {
  if (url === '')
    throw new ReembedError('USAGE', 'Expected a folder, a file or s3://bucket/prefix, got an empty string')
  if (!url.startsWith('file://')) return resolve(url)
  try {
    return fileURLToPath(url)
  } catch (error) {
    throw new ReembedError('USAGE', `'${url}' is not the URL of a local path: write file:///folder`, {
      cause: error,
    })
  }
}

/** The path without links; what does not exist yet is kept as it is. */
async function realPathOf(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    const missing = codeOf(error) === 'ENOENT' && dirname(path) !== path
    return missing ? join(await realPathOf(dirname(path)), basename(path)) : path
  }
}

const isWithin = (inner: string, outer: string): boolean => inner.startsWith(outer)
