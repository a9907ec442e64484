// Forecasts how much of a planned run need not be embedded. Unchanged slices are counted; the share
// of unchanged documents in the other slices is estimated from a few of them.

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
  /** Why nothing is reused; null with a base run. */
  readonly reason: string | null
  /** Slices that are equal in the base run: their vectors are reused as they are. Counted. */
  readonly identical: ReuseGroup
  /**
   * Slices of objects that changed, or of a run with other columns: workers look up each document
   * by its text.
   */
  readonly changed: ReuseGroup & { readonly reusable: number }
  /** Slices of objects that the base run does not have. */
  readonly added: ReuseGroup
  /** Estimated number of documents to embed. */
  readonly toEmbed: number
}

export interface ReuseGroup {
  readonly shards: number
  readonly documents: number
  /** Keys of a few objects. */
  readonly examples: readonly string[]
}

const EXAMPLES = 3
const SAMPLED_SLICES = 4
const SAMPLED_DOCUMENTS = 500

/**
 * Forecasts the reuse of vectors of the base run. Reads the plan of the base run and, where objects
 * changed, the start of a few slices. Embeds nothing.
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
      reason: baseRun.plan === undefined ? baseRun.reason : 'not searched for',
      identical: identical.of(0, 0),
      changed: { ...changed.of(0, 0), reusable: 0 },
      added: added.of(head.estimatedDocuments, 1),
      toEmbed: head.estimatedDocuments,
    }
  }
  const basePlan = baseRun.plan
  // If the base run is damaged, or gc deletes it meanwhile, its vectors are not reused; planning
  // continues.
  const baseDocuments = new Uint32Array(basePlan.shards)
  await undefinedIfCorrupt(countDocuments(store, baseRun.manifest, baseDocuments))

  const locator = createSliceLocator(store, basePlan)
  const sameColumns = basePlan.source === head.source && sameLayout(basePlan, head)
  const spread = createEvenSampler<Slice>(SAMPLED_SLICES)
  let reusedDocuments = 0
  for await (const slice of slices()) {
    const baseShard =
      basePlan.source === head.source ? await undefinedIfCorrupt(locator.shardOfSameSlice(slice)) : undefined
    if (baseShard !== undefined && sameColumns) {
      identical.add(slice)
      reusedDocuments += baseDocuments[baseShard] ?? 0
    } else if (baseShard !== undefined || (await undefinedIfCorrupt(locator.containsAnyObject(slice)))) {
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

/** The share of the first documents of these slices whose text has a vector in the base run. */
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
