// What the benches of a next version share: they run the command, and compare two runs.

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { readEmbeddings } from '@reembed/shard'

/** The command. */
export const MAIN: string = fileURLToPath(new URL('../packages/reembed/src/main.ts', import.meta.url))

export interface Outcome {
  readonly run: string
  readonly totals: { readonly rows: number; readonly reused?: number }
}

/** `reembed run` as a process of its own. @throws with its stderr if it fails */
export async function runCommand(args: readonly string[]): Promise<Outcome> {
  const node = ['--conditions=@reembed/source', MAIN, 'run', '--json', ...args]
  const { stdout } = await promisify(execFile)(process.execPath, node)
  return JSON.parse(stdout)
}

/** @throws unless both runs have the same documents, and unedited ones bit-identical vectors */
export async function expectSame(
  output: string,
  [before, after]: readonly [string, string],
  isEdited: (i: number) => boolean,
): Promise<void> {
  const [a, b] = [rowsOf(output, before), rowsOf(output, after)]
  for (let i = 0; ; i += 1) {
    const [one, two] = [await a.next(), await b.next()]
    if (one.done || two.done) {
      if (one.done !== two.done) throw new Error('the runs have different lengths')
      return
    }
    const isSame = Buffer.compare(one.value.vector, two.value.vector) === 0
    if (one.value.id !== two.value.id || (!isEdited(i) && !isSame)) throw new Error(`${two.value.id} changed`)
  }
}

async function* rowsOf(output: string, run: string) {
  for await (const { ids, vectors } of readEmbeddings(output, { run })) {
    const bytes = vectors.byteLength / ids.length
    for (const [row, id] of ids.entries()) {
      yield { id, vector: Buffer.from(vectors.buffer, vectors.byteOffset + row * bytes, bytes) }
    }
  }
}
