// PUBLISH: makes a finished run the current version unless rejects or gates hold it. Versions form
// one sequence, each put-if-absent on the number after the current one. A run whose sequence number
// is not above that of the current version is never published.

import { evaluateGates } from '@reembed/evaluate'
import { type ExceededLimit, exceededLimits, type RejectLimit } from '@reembed/planner'
import {
  type Actor,
  type GateResult,
  type Manifest,
  type Plan,
  putVersion,
  type RunStateRecord,
  readCurrent,
  readManifest,
  readRunStateRecord,
  readVersions,
  refuseDeleted,
  setRunState,
  takeSeq,
  type Version,
} from '@reembed/protocol'
import { canonical, ReembedError, sha256 } from '@reembed/shared'
import type { Store } from '@reembed/store'

export type PublishOutcome =
  | { readonly status: 'published' | 'already_current'; readonly version: Version }
  /** A newer run was published meanwhile. */
  | { readonly status: 'superseded'; readonly by: Version }
  /** Finished and balanced, but held until an operator decides. */
  | {
      readonly status: 'held'
      readonly by: HeldBy
      readonly reason: string
      /** The results of all gates. */
      readonly gates: readonly GateResult[]
    }

/** What holds a run: too many rejects, too much text that the model did not read, or gates. */
export type HeldBy = ExceededLimit['by'] | 'gates'

/**
 * Publishes a finished run unless a newer one is current or the run is held.
 * @throws ReembedError RUN_NOT_FOUND when gc deletes the run; RUN_STOPPED for a run that is
 * cancelled or paused, also while its gates are evaluated
 */
export async function publish(
  store: Store,
  manifest: Manifest,
  { actor, ...conditions }: PublishConditions = {},
): Promise<PublishOutcome> {
  const current = await readCurrent(store)
  if (current?.run === manifest.run) return { status: 'already_current', version: current }
  if (current && isSuperseded(manifest.seq, current)) return { status: 'superseded', by: current }
  const { objections, gates } = await publishBlockers(store, manifest, conditions, current)
  const [objection] = objections
  return objection
    ? { status: 'held', ...objection, gates }
    : publishRunning(store, manifest, { action: 'publish', ...unjudgedOf(gates), ...actor })
}

/** The reasons to hold a finished run. */
async function publishBlockers(
  store: Store,
  manifest: Manifest,
  conditions: PublishConditions,
  current: Version | undefined,
): Promise<{ objections: { by: HeldBy; reason: string }[]; gates: readonly GateResult[] }> {
  const advice: Readonly<Record<ExceededLimit['by'], string>> = {
    rejects: `inspect runs/${manifest.run}/rejects.jsonl, then publish with a higher limit`,
    truncation: 'embed long documents in chunks, or publish with a higher limit',
  }
  const found: { by: HeldBy; reason: string }[] = exceededLimits(manifest.totals, conditions).map(
    ({ by, detail }) => ({ by, reason: `${detail}: ${advice[by]}` }),
  )
  const gates = await evaluateGates(store, conditions, manifest, current?.run, conditions.signal)
  const failed = gates.filter(({ passed }) => !passed)
  if (failed.length > 0) {
    const reason = failed.map(({ gate, message }) => `gate '${gate}': ${message}`).join('; ')
    found.push({ by: 'gates', reason })
  }
  return { objections: found, gates }
}

/** The gates that passed because they had nothing to compare with. */
function unjudgedOf(gates: readonly GateResult[]): Pick<Version, 'unjudgedGates'> {
  const unjudged = gates.filter(({ passed, judged }) => passed && judged === false)
  return unjudged.length === 0
    ? {}
    : { unjudgedGates: unjudged.map(({ gate, message }) => `gate '${gate}': ${message}`) }
}

export interface PublishConditions extends Pick<Plan, 'gates' | 'evaluation'> {
  readonly maxRejects?: RejectLimit
  /** Share of the text that the model may leave unread, '1%'; default: any. */
  readonly maxTruncated?: string | undefined
  /** Recorded in the version. */
  readonly actor?: Actor | undefined
  /** Aborts the evaluation of gates, which may take minutes; nothing is published then. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Publishes a finished run although it is held, superseded or cancelled, and records the reasons in
 * its version.
 * @throws ReembedError RUN_NOT_FOUND when gc deletes the run; RUN_STOPPED for a run that is
 * cancelled while its gates are evaluated
 */
export async function forcePublish(
  store: Store,
  manifest: Manifest,
  plan: Plan,
  actor?: Actor,
): Promise<PublishOutcome> {
  const current = await readCurrent(store)
  if (current?.run === manifest.run) return { status: 'already_current', version: current }
  const before = await readRunStateRecord(store, manifest.run)
  const { objections, gates } = await publishBlockers(store, manifest, plan, current)
  const overridden = objections.map(({ reason }) => reason)
  if (current && isSuperseded(manifest.seq, current))
    overridden.push(`version ${current.version} belongs to a newer run or to a rollback`)
  if (isStopped(before)) overridden.push(`the run ${stoppedBy(before)}`)
  if (overridden.length === 0)
    return publishRunning(store, manifest, { action: 'publish', ...unjudgedOf(gates), ...actor })
  return publishAs(store, manifest, await takeSeq(store, manifest.run), {
    action: 'force',
    overriddenReasons: overridden,
    ...unjudgedOf(gates),
    ...actor,
  })
}

/**
 * Makes an earlier run current again: as a new version with a new sequence number. With its old
 * number, the next sweep would publish the run that was rolled back again.
 * @param run the run to make current; by default the one published before the current one
 * @param actor recorded in the version
 * @throws ReembedError RUN_NOT_FOUND when no earlier version exists, or the run is not finished or
 * was deleted.
 */
export async function rollback(store: Store, run?: string, actor?: Actor): Promise<PublishOutcome> {
  const target = run ?? (await previousRun(store))
  const manifest = await readManifest(store, target)
  if (manifest === undefined) {
    throw new ReembedError(
      'RUN_NOT_FOUND',
      `run ${target} in ${store.url} is not finished or was deleted: give a finished run`,
    )
  }
  const seq = await takeSeq(store, target)
  return publishAs(store, manifest, seq, { action: 'rollback', ...actor })
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
      : `run ${current} is the only one ever published in ${store.url}: no earlier version exists`,
  )
}

/**
 * The current version if its sequence number is above the run's: then sweepers neither finalize nor
 * publish the run. Else undefined.
 */
export async function supersededBy(
  store: Store,
  { run, seq }: Pick<Plan, 'run' | 'seq'>,
): Promise<Version | undefined> {
  const current = await readCurrent(store)
  return current && current.run !== run && isSuperseded(seq, current) ? current : undefined
}

/** Whether the current version has this sequence number or a higher one. */
const isSuperseded = (seq: number, current: Version): boolean => current.seq >= seq

type Origin = Pick<Version, 'action' | 'overriddenReasons' | 'unjudgedGates' | 'by' | 'reason'>

/** Publishes a run unless it was stopped, for example while its gates were evaluated. */
async function publishRunning(store: Store, manifest: Manifest, origin: Origin): Promise<PublishOutcome> {
  const { run, seq } = manifest
  const outcome = await publishAs(store, manifest, seq, origin, record => {
    if (!isStopped(record)) return
    const message = `run ${run} in ${store.url} ${stoppedBy(record)}, so it is not published: resume it to have it published`
    throw new ReembedError('RUN_STOPPED', message, { reason: 'run_paused' })
  })
  // A canceller that read the versions before the put reported success: the record states the
  // version, so that both do not seem to hold.
  if (outcome.status === 'published' && isStopped(await readRunStateRecord(store, run)))
    await setRunState(store, run, 'running', {
      reason: `published as version ${outcome.version.version} while it was being stopped`,
    })
  return outcome
}

const isStopped = ({ state }: RunStateRecord): boolean => state === 'cancelled' || state === 'paused'

const stoppedBy = ({ state, by, reason }: RunStateRecord): string =>
  `was ${state}${by === undefined ? '' : ` by ${by}`}${reason === undefined ? '' : ` (${reason})`}`

/** @param check called with the state of the run right before each attempt to put the version */
async function publishAs(
  store: Store,
  manifest: Manifest,
  seq: number,
  origin: Origin,
  check: (record: RunStateRecord) => void = () => {},
): Promise<PublishOutcome> {
  const { run } = manifest
  while (true) {
    const current = await readCurrent(store)
    if (current?.run === run) return { status: 'already_current', version: current }
    if (current && isSuperseded(seq, current)) return { status: 'superseded', by: current }
    // Race with gc: gc records 'deleting' and then reads manifests and sequence numbers; a
    // publisher has written both by now and then reads the state. So at least one of them observes
    // the other.
    // Race with a cancellation: only the put comes after this read. The canceller reads the
    // versions after its record, and the publisher reads the record after its put.
    check(await refuseDeleted(store, run, 'RUN_NOT_FOUND'))
    const version: Version = {
      version: (current?.version ?? 0) + 1,
      run,
      seq,
      manifestSha256: sha256(canonical(manifest)),
      ...origin,
    }
    if ((await putVersion(store, version)) === 'created') return { status: 'published', version }
  }
}
