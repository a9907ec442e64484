// A published run for benches of loads.

import { type Manifest, putVersion } from '@reembed/protocol'
import type { Store } from '@reembed/store'
import { makeRun } from '../../test/export/run.ts'

export const SHARDS = 20

/** @param size rows and dimensions, '100000x384' */
export async function publishedRun(
  output: Store,
  size: string,
): Promise<{ readonly manifest: Manifest; readonly rows: number; readonly dimensions: number }> {
  const [rows = 0, dimensions = 0] = size.split('x').map(Number)
  const { manifest } = await makeRun(output, {
    shards: SHARDS,
    rows: rows / SHARDS,
    dimensions,
    rowGroupRows: 2_500,
  })
  await putVersion(output, { version: 1, run: manifest.run, seq: 1, manifestSha256: '' })
  return { manifest, rows, dimensions }
}
