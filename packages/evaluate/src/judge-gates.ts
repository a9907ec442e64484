// Judges the gates of a finished run against the version that it would replace. Query vectors are
// stored when the run is planned, so no endpoint is needed.

import {
  type GateReport,
  type GateResult,
  getGateReport,
  type Manifest,
  type Plan,
  putEvaluation,
  putGateReport,
  type QueryVector,
  readEvaluation,
  readQueries,
  type Scores,
  type WorseQuery,
} from '@reembed/protocol'
import { requireManifest } from '@reembed/shard'
import { gatesKey, gatesPrefix } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { evaluate, pairedDrop, type RunScores } from './compare/evaluate.ts'
import { mean } from './compare/rows.ts'
import { compareRuns } from './compare/runs.ts'
import { type Gate, needsQueries, parseGate } from './gates.ts'

/** What the gates of a run are judged with. */
interface Evidence {
  readonly store: Store
  readonly manifest: Manifest
  readonly own: RunScores
  readonly queries: readonly QueryVector[]
  /** The current version; undefined if nothing is published. */
  readonly before: Manifest | undefined
  /** Its scores with the same queries; undefined where they are unknown. */
  readonly theirs: Scores | undefined
  readonly signal?: AbortSignal | undefined
}

type Verdict = Omit<GateResult, 'gate'>

const WORSE_SHOWN = 10

/**
 * Evaluates the gates of a run against the version that it would replace. The results are stored,
 * put-if-absent, under run and baseline, so every caller gets the results of the first evaluation.
 *
 * @param baselineRun the run of the current version; undefined if nothing is published
 * @throws the signal's reason; nothing is stored then
 */
export async function evaluateGates(
  store: Store,
  { gates = [], evaluation }: Pick<Plan, 'gates' | 'evaluation'>,
  manifest: Manifest,
  baselineRun: string | undefined,
  signal?: AbortSignal,
): Promise<readonly GateResult[]> {
  if (gates.length === 0) return []
  const key = gatesKey(manifest.run, baselineRun)
  const known = await getGateReport(store, key)
  if (known) return judgedAgain(store, known, manifest, baselineRun)
  const parsed = gates.map(parseGate)
  const cutoffs = [...new Set(parsed.filter(needsQueries).map(({ k }) => k))]
  const queries = cutoffs.length > 0 ? await readQueries(store, manifest.run) : []
  const own =
    cutoffs.length > 0
      ? await evaluate(store, manifest, queries, cutoffs, signal)
      : { scores: {}, judged: 0, missing: 0 }
  const hash = evaluation?.sha256
  const before = baselineRun === undefined ? undefined : await requireManifest(store, baselineRun)
  const isCompared = parsed.some(gate => needsQueries(gate) && gate.rule === 'drop')
  const theirs =
    before && isCompared
      ? ((await storedScores(store, before.run, hash, own.scores)) ??
        (await scoresOfSameModel(store, before, manifest, { hash, queries, cutoffs, signal })))
      : undefined
  const evidence = { store, manifest, own, queries, before, theirs, signal }
  const results: GateResult[] = []
  for (const gate of parsed) results.push({ gate: gate.text, ...(await judge(gate, evidence)) })
  await putGateReport(store, key, {
    evaluation: hash ?? null,
    scores: own.scores,
    ...(before && theirs && { baseline: { run: before.run, scores: theirs } }),
    results,
  })
  return results
}

/**
 * The stored results; a gate that lacked the scores of the current version is judged if they have
 * been stored since. Reads no shard.
 */
async function judgedAgain(
  store: Store,
  { evaluation, scores, results }: GateReport,
  manifest: Manifest,
  baselineRun: string | undefined,
): Promise<readonly GateResult[]> {
  const isOpen = results.some(({ passed, judged }) => !passed && judged === false)
  if (!isOpen || baselineRun === undefined) return results
  const theirs = await storedScores(store, baselineRun, evaluation ?? undefined, scores)
  if (theirs === undefined) return results
  const before = await requireManifest(store, baselineRun)
  const queries = await readQueries(store, manifest.run)
  const evidence = { own: { scores, judged: 0, missing: 0 }, queries, before, theirs }
  return results.map(result =>
    result.passed || result.judged !== false
      ? result
      : { gate: result.gate, ...judgeDrop(parseGate(result.gate), evidence) },
  )
}

async function judge(gate: Gate, evidence: Evidence): Promise<Verdict> {
  const { manifest, own, before } = evidence
  const { metric, rule, k } = gate
  if (metric === 'rejects') return judgeRejects(gate, manifest)
  const name = metric === 'rows' ? 'rows' : `${metric}@${k}`
  if (needsQueries(gate) && own.missing === own.judged) {
    return {
      passed: false,
      message: `none of the ${own.judged} documents in the qrels is in run ${manifest.run}: use qrels for this corpus`,
    }
  }
  if (rule === 'drop' || metric === 'overlap') {
    if (before === undefined)
      return { passed: true, judged: false, message: `${name}: no published version to compare with` }
    if (metric === 'rows') return judgeRows(gate, manifest, before)
    if (metric === 'overlap') return judgeOverlap(gate, evidence, before)
  }
  const verdict = rule === 'min' ? judgeMinimum(gate, own.scores) : judgeDrop(gate, evidence)
  const note =
    own.missing > 0 ? `; ${own.missing} of the ${own.judged} documents in the qrels are not in the run` : ''
  return { ...verdict, message: verdict.message + note }
}

function judgeRejects({ value }: Gate, { totals }: Manifest): Verdict {
  const share = totals.rejects / Math.max(1, totals.documents)
  return {
    passed: share <= value,
    message: `${percent(share)} of the documents were rejected, at most ${percent(value)} is allowed`,
  }
}

function judgeRows({ value }: Gate, manifest: Manifest, before: Manifest): Verdict {
  const [now, then] = [manifest.totals.rows, before.totals.rows]
  return {
    passed: now >= then * (1 - value),
    message: `${now} rows, run ${before.run} has ${then}, a drop of at most ${percent(value)} is allowed`,
  }
}

async function judgeOverlap(
  { k, value }: Gate,
  { store, manifest, signal }: Evidence,
  before: Manifest,
): Promise<Verdict> {
  const { overlap, queries } = await compareRuns(store, before, manifest, { top: k, signal })
  return {
    passed: overlap >= value,
    message: `overlap@${k} with run ${before.run} is ${fixed(overlap)} over ${queries} documents, at least ${fixed(value)} is required`,
  }
}

function judgeMinimum({ metric, k, value }: Gate, scores: Scores): Verdict {
  const own = scores[`${metric}@${k}`] ?? []
  const figure = mean(own)
  return {
    passed: figure >= value,
    message: `${metric}@${k} is ${fixed(figure)} over ${own.length} queries, at least ${fixed(value)} is required`,
  }
}

function judgeDrop(
  { metric, k, value }: Gate,
  {
    own: { scores },
    queries,
    before,
    theirs: known,
  }: Pick<Evidence, 'own' | 'queries' | 'before' | 'theirs'>,
): Verdict {
  const name = `${metric}@${k}`
  const own = scores[name] ?? []
  const theirs = known?.[name]
  const run = before?.run
  if (theirs === undefined || theirs.length !== own.length) {
    const model = before && `${before.model.id}@${before.model.revision ?? 'unstated'}`
    return {
      passed: false,
      judged: false,
      message: `${name} is ${fixed(mean(own))}, but run ${run} of model ${model} was never evaluated with these queries: the drop is unknown. Evaluate run ${run} with an endpoint of its model`,
    }
  }
  const { drop, low, high } = pairedDrop(theirs, own)
  const passed = drop <= value
  return {
    passed,
    message: `${name} ${fixed(mean(theirs))} → ${fixed(mean(own))} (${signed(-drop)}; 95 % interval ${signed(-high)} to ${signed(-low)}, ${own.length} queries) against run ${run}: a drop of at most ${fixed(value)} is allowed`,
    ...(!passed && { worse: worseQueries(queries, theirs, own) }),
  }
}

/** The queries with the largest loss, worst first. */
function worseQueries(
  queries: readonly QueryVector[],
  before: readonly number[],
  after: readonly number[],
): WorseQuery[] {
  return queries
    .map(({ id, text }, i) => ({ query: id, text, before: before[i] ?? 0, after: after[i] ?? 0 }))
    .filter(query => query.after < query.before)
    .sort((a, b) => b.before - b.after - (a.before - a.after))
    .slice(0, WORSE_SHOWN)
}

/**
 * The scores of a run that were stored when its own gates were judged, or when it was evaluated.
 * They do not depend on the baseline of that time.
 */
async function storedScores(
  store: Store,
  run: string,
  hash: string | undefined,
  wanted: Scores,
): Promise<Scores | undefined> {
  if (hash === undefined) return undefined
  const suits = (scores: Scores): boolean =>
    Object.entries(wanted).every(([name, { length }]) => scores[name]?.length === length)
  const found = await readEvaluation(store, run, hash)
  if (found?.evaluation === hash && suits(found.scores)) return found.scores
  for await (const { key } of store.list(gatesPrefix(run))) {
    const report = await getGateReport(store, key)
    if (report?.evaluation === hash && suits(report.scores)) return report.scores
  }
  return undefined
}

interface ScoringOptions {
  readonly hash: string | undefined
  readonly queries: readonly QueryVector[]
  readonly cutoffs: readonly number[]
  readonly signal: AbortSignal | undefined
}

/**
 * Scores the current version with the query vectors of the new run, which fit if both have the same
 * model: so gates can be added to an output that exists.
 */
async function scoresOfSameModel(
  store: Store,
  before: Manifest,
  manifest: Manifest,
  { hash, queries, cutoffs, signal }: ScoringOptions,
): Promise<Scores | undefined> {
  if (before.spaceId !== manifest.spaceId) return undefined
  const { scores } = await evaluate(store, before, queries, cutoffs, signal)
  if (hash !== undefined) await putEvaluation(store, before.run, { evaluation: hash, scores })
  return scores
}

const fixed = (value: number): string => value.toFixed(3)
const signed = (value: number): string => `${value < 0 ? '' : '+'}${fixed(value)}`
const percent = (value: number): string => `${(100 * value).toFixed(2)} %`
