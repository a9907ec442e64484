// The clients of databases and vector stores are optional packages: an installation holds those
// that it uses.

import { codeOf, ReembedError } from './errors.ts'

/**
 * Imports an optional client.
 * @param packages as `npm install` takes them
 * @throws ReembedError USAGE that names the packages to install
 */
export async function importClient<T>(
  packages: string,
  load: () => Promise<T>,
  { of = 'this vector store', option }: { readonly of?: string; readonly option?: string } = {},
): Promise<T> {
  try {
    return await load()
  } catch (cause) {
    if (codeOf(cause) !== 'ERR_MODULE_NOT_FOUND') throw cause
    throw new ReembedError(
      'USAGE',
      `the client of ${of} is not installed: install it beside reembed (npm install ${packages}; in a clone of the repository: npx pnpm add -w ${packages})`,
      { ...(option !== undefined && { option }), cause },
    )
  }
}
