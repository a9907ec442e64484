// PUBLISH: makes a finished run the current version, if it may be. Versions form one line, each
// put-if-absent on the number after the current one; a run older than the current one can never
// win.

import { evaluateGates } from '@reembed/evaluate'
import {
  type Manifest,
  type Plan,
  putVersion,
  readCurrent,
  readManifest,
  readVersions,
  refuseDeleted,
  takeSeq,
  type Version,
} from '@reembed/protocol'
import { canonical, ReembedError, sha256 } from '@reembed/shared'
import type { Store } from '@reembed/store'

export type PublishOutcome =
  | { readonly status: 'published' | 'already_current'; readonly version: Version }
  /** A newer run was published meanwhile. */
  | { readonly status: 'superseded'; readonly by: Version }
  /** Finished and balanced, but somebody must look first. */
  | { readonly status: 'held'; readonly by: 'rejects' | 'gates'; readonly reason: string }

/**
 * How many rejects a run may have and still be published: a count ('20') or a share of its
 * documents ('1%').
 */
export type RejectLimit = string

export const DEFAULT_MAX_REJECTS: RejectLimit = '1%'

/** The limit as a number of documents. NaN when the text is neither a count nor a percentage. */
export function rejectsAllowed(limit: RejectLimit, documents: number): number {
  const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(limit.trim())
  if (!match) return Number.NaN
  return match[2] === '%' ? (Number(match[1]) / 100) * documents : Number(match[1])
}

export async function publish(
  store: Store,
  manifest: Manifest,
  { maxRejects = DEFAULT_MAX_REJECTS, ...plan }: PublishConditions = {},
): Promise<PublishOutcome> {
  const current = await readCurrent(store)
  if (current?.run === manifest.run) return { status: 'already_current', version: current }
  if (current && isSuperseded(manifest.seq, current)) return { status: 'superseded', by: current }
  const [objection] = await publishBlockers(store, manifest, { maxRejects, ...plan }, current)
  return objection ? { status: 'held', ...objection } : publishAs(store, manifest, manifest.seq)
}

/** What speaks against publishing a finished run. */
async function publishBlockers(
  store: Store,
  manifest: Manifest,
  { maxRejects = DEFAULT_MAX_REJECTS, signal, ...plan }: PublishConditions,
  current: Version | undefined,
): Promise<{ by: 'rejects' | 'gates'; reason: string }[]> {
  const { documents, rejects } = manifest.totals
  const found: { by: 'rejects' | 'gates'; reason: string }[] = []
  if (rejects > rejectsAllowed(maxRejects, documents)) {
    found.push({
      by: 'rejects',
      reason: `${rejects} of ${documents} documents were rejected, allowed are ${maxRejects}: see runs/${manifest.run}/rejects.jsonl, then publish with a higher limit`,
    })
  }
  const failed = (await evaluateGates(store, plan, manifest, current?.run, signal)).filter(
    ({ passed }) => !passed,
  )
  if (failed.length > 0) {
    const reason = failed.map(({ gate, message }) => `gate '${gate}': ${message}`).join('; ')
    found.push({ by: 'gates', reason })
  }
  return found
}

export interface PublishConditions extends Pick<Plan, 'gates' | 'evaluation'> {
  readonly maxRejects?: RejectLimit
  /** Ends the judging of gates, which may take minutes; nothing is published then. */
  readonly signal?: AbortSignal | undefined
}

/** Publishes a finished run whatever speaks against it, and writes down what does. */
export async function forcePublish(store: Store, manifest: Manifest, plan: Plan): Promise<PublishOutcome> {
  const current = await readCurrent(store)
  if (current?.run === manifest.run) return { status: 'already_current', version: current }
  const despite = (await publishBlockers(store, manifest, plan, current)).map(({ reason }) => reason)
  if (current && isSuperseded(manifest.seq, current))
    despite.push(`version ${current.version} is of a newer run, or was gone back to`)
  if (despite.length === 0) return publishAs(store, manifest, manifest.seq)
  return publishAs(store, manifest, await takeSeq(store, manifest.run), despite)
}

/**
 * Makes an earlier run current again: as a version of its own, with a new place in the order of
 * runs. With its old place, the next sweep would publish the run it was rolled back from again.
 * @param run the run to go back to; the one before the current one if none
 * @throws ReembedError RUN_NOT_FOUND when there is nothing to go back to, or the run is not
 * finished.
 */
export async function rollback(store: Store, run?: string): Promise<PublishOutcome> {
  const target = run ?? (await previousRun(store))
  const manifest = await readManifest(store, target)
  if (manifest === undefined) {
    throw new ReembedError(
      'RUN_NOT_FOUND',
      `run ${target} in ${store.url} is not finished, or was removed: only a finished run can be published`,
    )
  }
  const seq = await takeSeq(store, target)
  return publishAs(store, manifest, seq)
}

async function previousRun(store: Store): Promise<string> {
  let current: string | undefined
  for await (const { run } of readVersions(store)) {
    current ??= run
    if (run !== current) return run
  }
  throw new ReembedError(
    'RUN_NOT_FOUND',
    current === undefined
      ? `nothing is published in ${store.url} yet`
      : `run ${current} is all that was ever published in ${store.url}: there is nothing to go back to`,
  )
}

/**
 * What is current where that is of a later place than the run's: then no sweep ends or publishes
 * the run.
 */
export async function supersededBy(
  store: Store,
  { run, seq }: Pick<Plan, 'run' | 'seq'>,
): Promise<Version | undefined> {
  const current = await readCurrent(store)
  return current && current.run !== run && isSuperseded(seq, current) ? current : undefined
}

/** A later place in the order of runs is current already: this one comes too late. */
const isSuperseded = (seq: number, current: Version): boolean => current.seq >= seq

async function publishAs(
  store: Store,
  manifest: Manifest,
  seq: number,
  overriddenReasons?: readonly string[],
): Promise<PublishOutcome> {
  const { run } = manifest
  // Who removes runs marks them first and then looks at manifests and places in the order; who
  // publishes has both by now and then looks at the mark: one of the two sees the other.
  await refuseDeleted(store, run, 'RUN_NOT_FOUND')
  while (true) {
    const current = await readCurrent(store)
    if (current?.run === run) return { status: 'already_current', version: current }
    if (current && isSuperseded(seq, current)) return { status: 'superseded', by: current }
    const version: Version = {
      version: (current?.version ?? 0) + 1,
      run,
      seq,
      manifestSha256: sha256(canonical(manifest)),
      ...(overriddenReasons && { overriddenReasons }),
    }
    if ((await putVersion(store, version)) === 'created') return { status: 'published', version }
  }
}
