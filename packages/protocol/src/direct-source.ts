// Sources of a plan that are what they begin with. A worker compares the beginning of a source with
// the places that it may read.

import { fileURLToPath } from 'node:url'

/**
 * Whether a source is what it begins with: dots between slashes, percent-encoded or not, lead out
 * of it, and some file: URLs have no path.
 */
export function isDirectSource(source: string): boolean {
  if (/\/(?:\.|%2e){1,2}(?:\/|$)/i.test(source) || /\p{Cc}/u.test(source)) return false
  return !/^file:/i.test(source) || filePathOf(source) !== undefined
}

/** The path of a file: URL; undefined for an encoded slash, another machine or another form. */
export function filePathOf(url: string): string | undefined {
  try {
    return fileURLToPath(url)
  } catch {
    return undefined
  }
}
