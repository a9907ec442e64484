// How much of a planned run need not be embedded. What did not change is counted; how much of the rest is unchanged, a
// few slices of it tell.

import { readDocuments } from '@reembed/corpus'
import { type Manifest, type Plan, readManifestShards, type Slice } from '@reembed/protocol'
import { contentHashOf, createPlaces, openBase, sameLayout, unlessCorrupt } from '@reembed/shard'
import type { Store } from '@reembed/store'
import type { SurveyedRun } from './plan.ts'
import { createSpread } from './survey.ts'

export interface ReuseForecast {
  readonly base: string | null
  /** Why nothing is reused, where nothing is. */
  readonly why: string | null
  /** Slices that are the same as before: taken as they are. Counted. */
  readonly carried: Share
  /** Of objects that changed, or for other columns: each document is looked up by its text. */
  readonly looked: Share & { readonly unchanged: number }
  /** Of objects that are new. */
  readonly fresh: Share
  /** Documents that have to be embedded, about. */
  readonly toEmbed: number
}

export interface Share {
  readonly shards: number
  readonly documents: number
  /** The keys of some objects. */
  readonly examples: readonly string[]
}

const EXAMPLES = 3
const SLICES_LOOKED_AT = 4
const DOCUMENTS_LOOKED_AT = 500

/** Reads the plan of the base and, where there are changed objects, the start of a few slices; embeds nothing. */
export async function forecastReuse(
  store: Store | undefined,
  source: Store,
  { head, slices, base }: Pick<SurveyedRun, 'head' | 'slices' | 'base'>,
  signal?: AbortSignal,
): Promise<ReuseForecast> {
  const carried = createShare()
  const looked = createShare()
  const fresh = createShare()
  if (base.plan === undefined || store === undefined) {
    for await (const slice of slices()) fresh.add(slice)
    return {
      base: null,
      why: base.plan === undefined ? base.why : 'not looked for',
      carried: carried.of(0, 0),
      looked: { ...looked.of(0, 0), unchanged: 0 },
      fresh: fresh.of(head.estimatedDocuments, 1),
      toEmbed: head.estimatedDocuments,
    }
  }
  const then = base.plan
  // What is damaged of the base, or goes meanwhile, costs its vectors and not the run.
  const documentsThen = new Uint32Array(then.shards)
  await unlessCorrupt(countDocuments(store, base.manifest, documentsThen))

  const places = createPlaces(store, then)
  const asTheyAre = then.source === head.source && sameLayout(then, head)
  const spread = createSpread<Slice>(SLICES_LOOKED_AT)
  let known = 0
  for await (const slice of slices()) {
    const twin = then.source === head.source ? await unlessCorrupt(places.same(slice)) : undefined
    if (twin !== undefined && asTheyAre) {
      carried.add(slice)
      known += documentsThen[twin] ?? 0
    } else if (twin !== undefined || (await unlessCorrupt(places.knows(slice)))) {
      looked.add(slice)
      spread.add(slice)
    } else {
      fresh.add(slice)
    }
  }
  const rest = Math.max(0, head.estimatedDocuments - known)
  const weight = Math.max(1, looked.weight + fresh.weight)
  const plan: Plan = { ...head, base: then.run, seq: 0, slicesPerSegment: 1 }
  const share = await unchangedShare(store, source, plan, spread.values(), signal)
  const lookedAt = looked.of(rest, looked.weight / weight)
  const freshOnes = fresh.of(rest, fresh.weight / weight)
  const unchanged = Math.round(share * lookedAt.documents)
  return {
    base: then.run,
    why: null,
    carried: carried.of(known, 1),
    looked: { ...lookedAt, unchanged },
    fresh: freshOnes,
    toEmbed: freshOnes.documents + lookedAt.documents - unchanged,
  }
}

async function countDocuments(store: Store, manifest: Manifest, documents: Uint32Array): Promise<void> {
  let at = 0
  for await (const { rows, rejects } of readManifestShards(store, manifest)) documents[at++] = rows + rejects
}

function createShare() {
  let shards = 0
  let weight = 0
  const examples = new Set<string>()
  return {
    get weight() {
      return weight
    },
    add({ parts }: Slice): void {
      shards += 1
      for (const { key, start, end } of parts) {
        weight += end - start
        if (examples.size < EXAMPLES) examples.add(key)
      }
    },
    of: (documents: number, share: number): Share => ({
      shards,
      documents: Math.round(documents * share),
      examples: [...examples],
    }),
  }
}

/** Of the first documents of these slices, how many have a text that the base has a vector for. */
async function unchangedShare(
  store: Store,
  source: Store,
  plan: Plan,
  slices: readonly Slice[],
  signal: AbortSignal | undefined,
): Promise<number> {
  const base = slices.length > 0 ? await openBase(store, plan) : undefined
  let [looked, found] = [0, 0]
  for (const slice of base ? slices : []) {
    const reader = await readDocuments({ source, output: store }, plan, slice, signal)
    const hashes: string[] = []
    for await (const record of reader.records) {
      if (record.kind === 'document') hashes.push(contentHashOf(record.text))
      if (hashes.length === DOCUMENTS_LOOKED_AT) break
    }
    looked += hashes.length
    found += (await base?.known(slice).has(hashes, signal)) ?? 0
  }
  return looked === 0 ? 0 : found / looked
}
