// Plans a corpus and reads all of it, as a run does.

import { fileURLToPath } from 'node:url'
import { readSlice } from '@reembed/corpus'
import { openCorpus, planRun } from '@reembed/planner'
import type { CarriedValue } from '@reembed/protocol'

export const MODEL = { id: 'm', revision: 'r', dimensions: 8, pooling: 'mean', normalized: true }
/** Files by the writers of others: pyarrow, polars, delta-rs, Python's json and csv. */
export const CASES: string = fileURLToPath(new URL('cases/', import.meta.url))

export interface ReadOptions extends NonNullable<Parameters<typeof openCorpus>[1]> {
  readonly carry?: readonly string[]
  readonly template?: string
  readonly documentsPerShard?: number | undefined
  readonly fields?: { readonly id?: string; readonly text?: string }
}

export interface ReadCorpus {
  /** Documents as [id, text, carried], rejects as messages. */
  readonly rows: (string | [string, string, Record<string, CarriedValue>])[]
  readonly nulled: Record<string, number>
  readonly sample: Awaited<ReturnType<typeof planRun>>['sample']
}

/** Plans the corpus and reads all of it. */
export async function read(
  source: string,
  { carry, template, fields: wanted, documentsPerShard, ...options }: ReadOptions = {},
): Promise<ReadCorpus> {
  await using corpus = await openCorpus(source, options)
  const { head, slices, sample } = await planRun(corpus, {
    model: MODEL,
    carry,
    template,
    fields: wanted,
    documentsPerShard,
  })
  const rows: ReadCorpus['rows'] = []
  let nulled: Record<string, number> = {}
  for await (const slice of slices()) {
    const { fields } = head.recipe
    const reader = readSlice(corpus.store, slice, { fields, template, carry: head.layout?.carry })
    for await (const record of reader.records) {
      rows.push(
        record.kind === 'reject'
          ? `${record.reason}: ${record.message}`
          : [record.id, record.text, { ...record.carried }],
      )
    }
    nulled = { ...nulled, ...reader.nulled }
  }
  return { rows, nulled, sample }
}

/** Id and text of each document; rejects as messages. */
export const texts = async (source: string, options?: ReadOptions): Promise<(string | string[])[]> =>
  (await read(source, options)).rows.map(row => (typeof row === 'string' ? row : [row[0], row[1]]))

/** The carried values of each document; rejects as messages. */
export const carried = async (
  source: string,
  carry: readonly string[],
  options?: ReadOptions,
): Promise<(string | Record<string, CarriedValue>)[]> =>
  (await read(source, { ...options, carry })).rows.map(row => (typeof row === 'string' ? row : row[2]))
