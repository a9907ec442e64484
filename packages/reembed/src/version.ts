import { readFileSync } from 'node:fs'

/**
 * The version of the package: package.json lies one folder above this file, in `src` as in `dist`.
 */
export const VERSION: string = readVersion(new URL('../package.json', import.meta.url))

function readVersion(file: URL): string {
  const { version } = JSON.parse(readFileSync(file, 'utf8'))
  return String(version)
}
