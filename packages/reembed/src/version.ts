import { readFileSync } from 'node:fs'

/** Defined by the bundle of the container image, which has no package.json beside it. */
declare const REEMBED_VERSION: string | undefined

/**
 * The version of the package: package.json lies one folder above this file, in `src` as in `dist`.
 */
export const VERSION: string =
  typeof REEMBED_VERSION === 'string'
    ? REEMBED_VERSION
    : readVersion(new URL('../package.json', import.meta.url))

function readVersion(file: URL): string {
  const { version } = JSON.parse(readFileSync(file, 'utf8'))
  return String(version)
}
