// Whole runs against OpenAI-compatible servers of many kinds, by the SDK: planned, enqueued,
// embedded by a worker, published, verified.

import { mkdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type OpenaiServerOptions, startOpenaiServer, vectorOf } from '@reembed/testing'
import { createReembed } from 'reembed'
import { writeJsonl } from '../parts/cli.ts'

export const DOCUMENTS = 200
const POISONED = 117
const TOKEN = 'secret-token'
const END_MS = 120_000

/** One server: what it refuses, and how its route is reached. */
export interface ServerKind {
  readonly name: string
  readonly server: OpenaiServerOptions
}

/** Documents of 15 to 75 tokens: 32 of them are over the 900 tokens of a request. */
export const textOf = (i: number): string =>
  `${i === POISONED ? 'POISON' : 'document'} ${i} ${'and some more words '.repeat(3 + (i % 12))}`.trim()

/** Writes the corpus of all runs, and returns its path. */
export async function writeCorpus(root: string): Promise<string> {
  const folder = join(root, 'corpus')
  await mkdir(folder, { recursive: true })
  await writeJsonl(
    join(folder, 'a.jsonl'),
    Array.from({ length: DOCUMENTS }, (_, i) => ({ id: `d${i}`, text: textOf(i) })),
  )
  return folder
}

/**
 * Every combination of a limit of 512 tokens a text, 900 tokens a request, no base64, an `/info`
 * that is answered by 500, another path, a query, an `api-key`, and a poisoned text that is
 * answered by 500 or a reset; the limit of inputs runs through 1 to 25.
 */
export function serverKinds(): ServerKind[] {
  const flags = [
    '512 tokens',
    '900 a request',
    'no base64',
    'no /info',
    'other path',
    'query',
    'api-key',
    'reset',
  ]
  return Array.from({ length: 2 ** flags.length }, (_, mask): ServerKind => {
    const [short, small, plain, broken, path, query, key, reset] = flags.map(
      (_, bit) => (mask >> bit) % 2 === 1,
    )
    const maxInputs = 1 + ((mask * 7) % 25)
    const named = flags.filter((_, bit) => (mask >> bit) % 2 === 1)
    return {
      name: [`${maxInputs} inputs`, ...named].join(', '),
      server: {
        maxInputs,
        ...(short && { maxTextTokens: 512 }),
        ...(small && { maxRequestTokens: 900 }),
        refusesBase64: plain ?? false,
        otherStatus: broken ? 500 : 404,
        refusalStatus: mask % 3 === 0 ? 422 : mask % 3 === 1 ? 400 : 413,
        route: `${path ? '/openai/deployments/x' : '/v1'}/embeddings${query ? '?api-version=2024-10-21' : ''}`,
        key: { header: key ? 'api-key' : 'authorization', token: TOKEN },
        poison: { word: 'POISON', answer: reset ? 'reset' : 'error' },
      },
    }
  })
}

export interface RunOutcome {
  readonly rows: number
  readonly rejects: number
  /** Rows whose vector is not that of their text. */
  readonly wrong: number
  readonly refusals: number
  /** Of each answered request: 'bytes float16'. */
  readonly encodings: readonly string[]
}

/** One run to its end. @throws Error when it is not published in time */
export async function runAgainst(
  { server: options }: ServerKind,
  { source, output, redis }: { readonly source: string; readonly output: string; readonly redis: string },
  dtype: 'float32' | 'float16' = 'float32',
): Promise<RunOutcome> {
  await using server = await startOpenaiServer(options)
  await using reembed = createReembed({
    output,
    redis: { url: redis, queue: basename(output) },
    endpoint: server.routeUrl,
    endpointOptions: { model: 'm', token: TOKEN },
  })
  const { run } = await reembed.enqueue(source, { maxRejects: '1', vectors: { dtype } })
  await using _worker = await reembed.startWorker()
  const { status } = await reembed.wait(run, { signal: AbortSignal.timeout(END_MS) })
  // The worker may have published it before the wait began.
  if (status !== 'published' && status !== 'already_current') throw new Error(`the run ended as ${status}`)
  const { totals } = await reembed.verify()
  let wrong = 0
  for await (const { ids, vectors, dimensions } of reembed.read()) {
    for (const [row, id] of ids.entries()) {
      const exact = vectorOf(textOf(Number(id.slice(1))))
      const expected = dtype === 'float16' ? new Float16Array(exact) : exact
      const vector = vectors.subarray(row * dimensions, (row + 1) * dimensions)
      if (expected.some((value, i) => Math.abs(value - (vector[i] ?? 0)) > 1e-6)) wrong += 1
    }
  }
  const { refused, encodings } = server
  return { rows: totals.rows, rejects: totals.rejects, wrong, refusals: refused.length, encodings }
}
