// A place where the command can do its main job: a corpus, an endpoint, Redis, and a folder for the
// vectors.

import { join } from 'node:path'
import { createHashEngine, serveTei, startRedis } from '@reembed/local'
import { documents, temporaryFolder, writeJsonl } from './cli.ts'

export interface Place extends AsyncDisposable {
  readonly folder: string
  /** A JSONL file of `count` documents. */
  readonly source: string
  /** For the vectors; not there yet. A test may set another. */
  output: string
  readonly redis: string
  /** URL of a model of 8 dimensions. */
  readonly endpoint: string
}

export async function openPlace(count: number): Promise<Place> {
  await using parts = new AsyncDisposableStack()
  const { path } = parts.use(await temporaryFolder())
  const tei = parts.use(await serveTei({ engine: createHashEngine({ dimensions: 8 }) }))
  const redis = parts.use(await startRedis())
  const source = await writeJsonl(join(path, 'corpus.jsonl'), documents(count))
  const all = parts.move()
  return {
    folder: path,
    source,
    output: join(path, 'vectors'),
    redis: redis.url,
    endpoint: tei.url,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}
