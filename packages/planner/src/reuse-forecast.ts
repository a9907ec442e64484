// Forecasts how much of a planned run need not be embedded. Unchanged slices are counted; the share
// of unchanged documents in the other slices is estimated from a few of them.

import { readDocuments } from '@reembed/corpus'
import {
  isCopied,
  type Manifest,
  type Plan,
  readManifestShards,
  type Slice,
  sameRecipe,
  shardsPresent,
} from '@reembed/protocol'
import {
  contentHashOf,
  createSliceLocator,
  openBaseRuns,
  sameLayout,
  undefinedIfCorrupt,
} from '@reembed/shard'
import type { Store } from '@reembed/store'
import type { BaseRunResult } from './base-run.ts'
import type { PlanResult } from './plan.ts'
import { createEvenSampler } from './survey.ts'

export interface ReuseForecast {
  /** The finished base run. */
  readonly baseRun: string | null
  /**
   * Base runs without a manifest, newest first: shards that they do not have yet count as missing.
   */
  readonly unfinishedBaseRuns: readonly string[]
  /** Why nothing is reused; null with a base run. */
  readonly reason: string | null
  /** Slices that are equal in a base run: their vectors are reused as they are. Counted. */
  readonly identical: ReuseGroup
  /**
   * Slices of objects that changed, or of a run with other columns: workers look up each document
   * by its text.
   */
  readonly changed: ReuseGroup & { readonly reusable: number }
  /** Slices of objects that no base run has. */
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
 * Forecasts the reuse of vectors of the base runs. Reads their plans and, where objects changed,
 * the start of a few slices. Embeds nothing.
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
  const bases = store === undefined ? [] : await openForecastBases(store, baseRun, head)
  if (bases.length === 0 || store === undefined) {
    for await (const slice of slices()) added.add(slice)
    return {
      baseRun: null,
      unfinishedBaseRuns: [],
      reason:
        isCopied(head.table) && store === undefined
          ? 'a table is compared when a run copies it'
          : baseRun.plan === undefined
            ? baseRun.reason
            : 'no output with earlier vectors was given',
      identical: identical.of(0, 0),
      changed: { ...changed.of(0, 0), reusable: 0 },
      added: added.of(head.estimatedDocuments, 1),
      toEmbed: head.estimatedDocuments,
    }
  }
  const spread = createEvenSampler<Slice>(SAMPLED_SLICES)
  let reusedDocuments = 0
  for await (const slice of slices()) {
    const documents = await firstOf(bases, base => base.documentsOfSameSlice(slice))
    if (documents !== undefined) {
      identical.add(slice)
      reusedDocuments += documents
    } else if (await firstOf(bases, async base => (await base.containsAnyObject(slice)) || undefined)) {
      changed.add(slice)
      spread.add(slice)
    } else {
      added.add(slice)
    }
  }
  const rest = Math.max(0, head.estimatedDocuments - reusedDocuments)
  const weight = Math.max(1, changed.weight + added.weight)
  const plan: Plan = { ...head, seq: 0, slicesPerSegment: 1 }
  const share = await unchangedShare(store, source, plan, spread.values(), signal)
  const changedGroup = changed.of(rest, changed.weight / weight)
  const addedGroup = added.of(rest, added.weight / weight)
  const reusable = Math.round(share * changedGroup.documents)
  return {
    baseRun: baseRun.plan?.run ?? null,
    unfinishedBaseRuns: baseRun.unfinished.map(({ run }) => run),
    reason: null,
    identical: identical.of(reusedDocuments, 1),
    changed: { ...changedGroup, reusable },
    added: addedGroup,
    toEmbed: addedGroup.documents + changedGroup.documents - reusable,
  }
}

/**
 * A base run as the forecast sees it. If it is damaged or deleted, planning continues without it.
 */
interface ForecastBase {
  /**
   * The documents of its shard of exactly this slice; undefined where it has no such shard, or not
   * in the columns of the new run.
   */
  documentsOfSameSlice(slice: Slice): Promise<number | undefined>
  containsAnyObject(slice: Slice): Promise<boolean>
}

/** The base runs in the order in which workers search them. */
async function openForecastBases(
  store: Store,
  baseRun: BaseRunResult,
  head: PlanResult['head'],
): Promise<ForecastBase[]> {
  const bases: ForecastBase[] = []
  for (const plan of baseRun.unfinished) {
    const perShard = Math.ceil(plan.estimatedDocuments / plan.shards)
    const documents = (await shardsPresent(store, plan)).map(size => (size > 0 ? perShard : ABSENT))
    bases.push(openForecastBase(store, plan, documents, head))
  }
  if (baseRun.plan) {
    const documents = new Uint32Array(baseRun.plan.shards)
    await undefinedIfCorrupt(countDocuments(store, baseRun.manifest, documents))
    bases.push(openForecastBase(store, baseRun.plan, documents, head))
  }
  return bases
}

/** In the documents of shards: the base run does not have the shard. */
const ABSENT = 2 ** 32 - 1

function openForecastBase(
  store: Store,
  plan: Plan,
  documents: Uint32Array,
  head: PlanResult['head'],
): ForecastBase {
  const locator = createSliceLocator(store, plan)
  const isSame = plan.source === head.source && sameRecipe(plan, head) && sameLayout(plan, head)
  return {
    async documentsOfSameSlice(slice) {
      const shard = isSame ? await undefinedIfCorrupt(locator.shardOfSameSlice(slice)) : undefined
      return shard === undefined || documents[shard] === ABSENT ? undefined : documents[shard]
    },
    containsAnyObject: async slice => (await undefinedIfCorrupt(locator.containsAnyObject(slice))) === true,
  }
}

async function countDocuments(store: Store, manifest: Manifest, documents: Uint32Array): Promise<void> {
  let at = 0
  for await (const { rows, rejects } of readManifestShards(store, manifest)) documents[at++] = rows + rejects
}

/** The first result that is not undefined. */
async function firstOf<T, R>(
  values: readonly T[],
  of: (value: T) => Promise<R | undefined>,
): Promise<R | undefined> {
  for (const value of values) {
    const result = await of(value)
    if (result !== undefined) return result
  }
  return undefined
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

/** The share of the first documents of these slices whose text has a vector in a base run. */
async function unchangedShare(
  store: Store,
  source: Store,
  plan: Plan,
  slices: readonly Slice[],
  signal: AbortSignal | undefined,
): Promise<number> {
  const baseRuns = slices.length > 0 ? await openBaseRuns(store, plan) : undefined
  let [inspected, found] = [0, 0]
  for (const slice of baseRuns ? slices : []) {
    const reader = await readDocuments({ source, output: store }, plan, slice, signal)
    const hashes: string[] = []
    for await (const record of reader.records) {
      if (record.kind === 'document') hashes.push(contentHashOf(record.text))
      if (hashes.length === SAMPLED_DOCUMENTS) break
    }
    inspected += hashes.length
    const has = (await baseRuns?.reuseIndex(slice).has(hashes, { signal })) ?? []
    found += has.filter(Boolean).length
  }
  return inspected === 0 ? 0 : found / inspected
}
