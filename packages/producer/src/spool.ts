// Buffers rows until the run is known to be correct and they may be written: in memory up to a
// limit, then in a temporary file. Memory does not grow with the run.

import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Spool<T> extends AsyncDisposable {
  add(row: T): Promise<void>
  /** All rows in the order in which they were added. May be called again. */
  rows(): AsyncGenerator<T, void, undefined>
}

/** Maximum number of characters of JSON in memory. */
const HELD_CHARACTERS = 4 * 1024 * 1024

/** A spool for rows of plain JSON. Disposing it deletes the file. */
export function createSpool<T>(maxCharacters: number = HELD_CHARACTERS): Spool<T> {
  let held: string[] = []
  let characters = 0
  let folder: string | undefined
  let file: FileHandle | undefined

  async function flush(): Promise<void> {
    folder ??= await mkdtemp(join(tmpdir(), 'reembed-spool-'))
    file ??= await open(join(folder, 'rows.jsonl'), 'w+')
    await file.appendFile(held.join(''))
    held = []
    characters = 0
  }

  return {
    async add(row) {
      const line = `${JSON.stringify(row)}\n`
      held.push(line)
      characters += line.length
      if (characters > maxCharacters) await flush()
    },
    async *rows() {
      if (file) {
        for await (const line of file.readLines({ start: 0, autoClose: false })) yield JSON.parse(line)
      }
      for (const line of held) yield JSON.parse(line)
    },
    async [Symbol.asyncDispose]() {
      await file?.close()
      if (folder) await rm(folder, { recursive: true, force: true })
    },
  }
}
