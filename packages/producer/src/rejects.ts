// Writes the rejects of a run for people to read: JSON Lines, in the order of the corpus.

import type { LocatedReject } from '@reembed/evaluate'
import { rejectsKey } from '@reembed/shared'
import type { Store } from '@reembed/store'

const MAX_BYTES = 32 * 1024 * 1024

/**
 * Writes one object, or several if the rows exceed `maxBytes`. Each object is held in memory and
 * written by one put.
 */
export async function putRejects(
  store: Store,
  run: string,
  rejects: AsyncIterable<LocatedReject> | Iterable<LocatedReject>,
  maxBytes: number = MAX_BYTES,
): Promise<void> {
  let lines: Buffer[] = []
  let bytes = 0
  let segment = 0
  const put = async (): Promise<void> => {
    const body = Buffer.concat(lines)
    await store.putIfAbsent(rejectsKey(run, segment), body, { contentType: 'application/jsonl' })
    lines = []
    bytes = 0
    segment += 1
  }
  for await (const reject of rejects) {
    const line = Buffer.from(`${JSON.stringify(reject)}\n`)
    if (bytes + line.length > maxBytes) await put()
    lines.push(line)
    bytes += line.length
  }
  if (lines.length > 0 || segment === 0) await put()
}
