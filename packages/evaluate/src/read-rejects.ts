// The rejects of a run, read from the receipts of its shards: of any output, finished or not. The
// texts are read from the corpus.

import { readDocuments } from '@reembed/corpus'
import { type Plan, type Receipt, requirePlan } from '@reembed/protocol'
import { readReceipt } from '@reembed/shard'
import { mapConcurrent, ReembedError, shardPrefix } from '@reembed/shared'
import { openStore, type S3Options, type Store } from '@reembed/store'
import { type LocatedReject, locateReject } from './verify/audit.ts'
import { type PlannedShard, plannedShards } from './verify/planned-shards.ts'

export interface FoundReject extends LocatedReject {
  /** Beginning of the document's text; undefined for a record without one, or without `texts`. */
  readonly text?: string | undefined
}

export interface ReadRejectsOptions {
  /** Characters of each text to read from the corpus; default 0. */
  readonly textCharacters?: number | undefined
  readonly s3?: S3Options | undefined
  /** Called once if the texts cannot be read. */
  readonly onTextsUnreadable?: ((error: unknown) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

const RECEIPTS_AT_ONCE = 16

/**
 * Yields the rejects in the order of the corpus. The line of a reject is null where a shard before
 * it in the same object is missing.
 * @throws ReembedError RUN_NOT_FOUND
 */
export async function* readRejects(
  store: Store,
  run: string,
  { textCharacters = 0, s3 = {}, onTextsUnreadable, signal }: ReadRejectsOptions = {},
): AsyncGenerator<FoundReject, void, undefined> {
  const plan = await requirePlan(store, run)
  const present = new Set<string>()
  for await (const { key } of store.list(shardPrefix(run), { signal })) present.add(key)
  const locate = createLocator()
  let readTexts = textCharacters > 0
  const shards = mapConcurrent(
    plannedShards(store, plan),
    async (planned, stop) => ({
      planned,
      receipt: present.has(planned.key)
        ? (await readReceipt(store, planned.key, { signal: stop })).receipt
        : undefined,
    }),
    { concurrency: RECEIPTS_AT_ONCE, signal },
  )
  for await (const { planned, receipt } of shards) {
    const located = locate(planned, receipt)
    if (receipt === undefined || located.length === 0) continue
    const texts = readTexts
      ? await textsAt(store, plan, planned, { receipt, characters: textCharacters, s3, signal }).catch(
          (error: unknown) => {
            if (!(error instanceof ReembedError)) throw error
            readTexts = false
            onTextsUnreadable?.(error)
            return undefined
          },
        )
      : undefined
    for (const [i, reject] of located.entries()) yield { ...reject, text: texts?.[i] }
  }
}

/** Adds up the lines of the shards before, for the absolute line of each reject. */
function createLocator() {
  let open: { readonly key: string; lines: number | null } | undefined
  return ({ slice }: PlannedShard, receipt: Receipt | undefined): LocatedReject[] => {
    const located: LocatedReject[] = []
    for (const [index, { key }] of slice.parts.entries()) {
      if (open?.key !== key) open = { key, lines: 0 }
      for (const reject of receipt?.rejects ?? []) {
        if (reject.position.part === index) located.push(locateReject(reject, key, open.lines))
      }
      const lines = receipt?.source[index]?.lines
      open.lines = open.lines === null || lines === undefined ? null : open.lines + lines
    }
    return located
  }
}

/** The beginning of each reject's text, in the order of the receipt. */
async function textsAt(
  store: Store,
  plan: Plan,
  { slice }: PlannedShard,
  {
    receipt,
    characters,
    s3,
    signal,
  }: {
    readonly receipt: Receipt
    readonly characters: number
    readonly s3: S3Options
    readonly signal: AbortSignal | undefined
  },
): Promise<(string | undefined)[]> {
  await using source = await openStore(plan.source, { s3 })
  const keyOf = (id: string | undefined, part: number, offset: number): string => `${part} ${offset} ${id}`
  const wanted = new Set(receipt.rejects.map(({ id, position }) => keyOf(id, position.part, position.offset)))
  const found = new Map<string, string>()
  const { records } = await readDocuments({ source, output: store }, plan, slice, signal)
  for await (const record of records) {
    if (record.kind !== 'document') continue
    const key = keyOf(record.id, record.position.part, record.position.offset)
    if (wanted.has(key)) found.set(key, record.text.slice(0, characters))
    if (found.size === wanted.size) break
  }
  return receipt.rejects.map(({ id, position }) => found.get(keyOf(id, position.part, position.offset)))
}
