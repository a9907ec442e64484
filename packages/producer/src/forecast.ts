// How much of a planned run need not be embedded. What did not change is counted; how much of the
// rest is unchanged, a few slices of it tell.

import { readDocuments } from '@reembed/corpus'
import { type Manifest, type Plan, readManifestShards, type Slice } from '@reembed/protocol'
import {
  contentHashOf,
  createSliceLocator,
  openBaseRun,
  sameLayout,
  undefinedIfCorrupt,
} from '@reembed/shard'
import type { Store } from '@reembed/store'
import type { PlanResult } from './plan.ts'
import { createEvenSampler } from './survey.ts'

export interface ReuseForecast {
  readonly baseRun: string | null
  /** Why nothing is reused, where nothing is. */
  readonly reason: string | null
  /** Slices that are the same as before: taken as they are. Counted. */
  readonly identical: ReuseGroup
  /** Of objects that changed, or for other columns: each document is looked up by its text. */
  readonly changed: ReuseGroup & { readonly reusable: number }
  /** Of objects that are new. */
  readonly added: ReuseGroup
  /** Documents that have to be embedded, about. */
  readonly toEmbed: number
}

export interface ReuseGroup {
  readonly shards: number
  readonly documents: number
  /** The keys of some objects. */
  readonly examples: readonly string[]
}

const EXAMPLES = 3
const SAMPLED_SLICES = 4
const SAMPLED_DOCUMENTS = 500

/**
 * Reads the plan of the base and, where there are changed objects, the start of a few slices;
 * embeds nothing.
 */
export async function forecastReuse(
  store: Store | undefined,
  source: Store,
  { head, slices, baseRun }: Pick<PlanResult, 'head' | 'slices' | 'baseRun'>,
  signal?: AbortSignal,
): Promise<ReuseForecast> {
  const identical = createReuseGroup()
  const changed = createReuseGroup()
  const added = createReuseGroup()
  if (baseRun.plan === undefined || store === undefined) {
    for await (const slice of slices()) added.add(slice)
    return {
      baseRun: null,
      reason: baseRun.plan === undefined ? baseRun.reason : 'not looked for',
      identical: identical.of(0, 0),
      changed: { ...changed.of(0, 0), reusable: 0 },
      added: added.of(head.estimatedDocuments, 1),
      toEmbed: head.estimatedDocuments,
    }
  }
  const basePlan = baseRun.plan
  // What is damaged of the base, or goes meanwhile, costs its vectors and not the run.
  const baseDocuments = new Uint32Array(basePlan.shards)
  await undefinedIfCorrupt(countDocuments(store, baseRun.manifest, baseDocuments))

  const places = createSliceLocator(store, basePlan)
  const asTheyAre = basePlan.source === head.source && sameLayout(basePlan, head)
  const spread = createEvenSampler<Slice>(SAMPLED_SLICES)
  let reusedDocuments = 0
  for await (const slice of slices()) {
    const twin =
      basePlan.source === head.source ? await undefinedIfCorrupt(places.shardOfSameSlice(slice)) : undefined
    if (twin !== undefined && asTheyAre) {
      identical.add(slice)
      reusedDocuments += baseDocuments[twin] ?? 0
    } else if (twin !== undefined || (await undefinedIfCorrupt(places.containsAnyObject(slice)))) {
      changed.add(slice)
      spread.add(slice)
    } else {
      added.add(slice)
    }
  }
  const rest = Math.max(0, head.estimatedDocuments - reusedDocuments)
  const weight = Math.max(1, changed.weight + added.weight)
  const plan: Plan = { ...head, baseRun: basePlan.run, seq: 0, slicesPerSegment: 1 }
  const share = await unchangedShare(store, source, plan, spread.values(), signal)
  const changedGroup = changed.of(rest, changed.weight / weight)
  const addedGroup = added.of(rest, added.weight / weight)
  const reusable = Math.round(share * changedGroup.documents)
  return {
    baseRun: basePlan.run,
    reason: null,
    identical: identical.of(reusedDocuments, 1),
    changed: { ...changedGroup, reusable },
    added: addedGroup,
    toEmbed: addedGroup.documents + changedGroup.documents - reusable,
  }
}

async function countDocuments(store: Store, manifest: Manifest, documents: Uint32Array): Promise<void> {
  let at = 0
  for await (const { rows, rejects } of readManifestShards(store, manifest)) documents[at++] = rows + rejects
}

function createReuseGroup() {
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
    of: (documents: number, share: number): ReuseGroup => ({
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
  const baseRun = slices.length > 0 ? await openBaseRun(store, plan) : undefined
  let [inspected, found] = [0, 0]
  for (const slice of baseRun ? slices : []) {
    const reader = await readDocuments({ source, output: store }, plan, slice, signal)
    const hashes: string[] = []
    for await (const record of reader.records) {
      if (record.kind === 'document') hashes.push(contentHashOf(record.text))
      if (hashes.length === SAMPLED_DOCUMENTS) break
    }
    inspected += hashes.length
    found += (await baseRun?.reuseIndex(slice).countFound(hashes, signal)) ?? 0
  }
  return inspected === 0 ? 0 : found / inspected
}
