// Files that a test writes as its corpus, in a folder of the test file.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'

export interface TemporaryFiles {
  /** A path in the folder. */
  path(...names: readonly string[]): string
  /** Writes a file, with the folders above it, and returns its path. */
  write(name: string, content: string | Uint8Array): Promise<string>
}

/** The folder lasts as long as the tests of the file. */
export function temporaryFiles(): TemporaryFiles {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'reembed-source-'))
  })
  afterAll(() => rm(folder, { recursive: true }))
  return {
    path: (...names) => join(folder, ...names),
    async write(name, content) {
      const path = join(folder, name)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, content)
      return path
    },
  }
}
