// The clients of vector stores are optional packages: an installation holds those that it uses.

import { codeOf, ReembedError } from './errors.ts'

/**
 * Imports the client of a vector store.
 * @throws ReembedError USAGE that names the package to install
 */
export async function importClient<T>(packages: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (cause) {
    if (codeOf(cause) !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw new ReembedError(
      'USAGE',
      `the client of this vector store is not installed: install it beside reembed (npm install ${packages})`,
      { cause },
    )
  }
}
