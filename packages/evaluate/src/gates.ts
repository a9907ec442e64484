// Gates: conditions that a finished run must meet before it is published. A gate is one line:
//
//   recall@10 drop 0.02    recall on the user's queries at most 0.02 below the current version
//   recall@10 min 0.6      recall on the user's queries at least 0.6; ndcg@k has the same rules
//   overlap@10 min 0.3     mean share of a document's neighbours in the current version that it keeps
//   rows drop 5%           at most 5 % fewer rows than the current version
//   rejects max 1%         at most 1 % of the documents rejected

import {
  type GateReport,
  type GateResult,
  getGateReport,
  type Manifest,
  type Plan,
  putGateReport,
} from '@reembed/protocol'
import { requireManifest } from '@reembed/shard'
import { gatesKey, gatesPrefix, ReembedError } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { evaluate, pairedDrop } from './compare/evaluate.ts'
import { mean } from './compare/rows.ts'
import { compareRuns } from './compare/runs.ts'

export interface Gate {
  readonly text: string
  readonly metric: 'recall' | 'ndcg' | 'overlap' | 'rows' | 'rejects'
  readonly k: number
  readonly rule: 'min' | 'max' | 'drop'
  readonly value: number
}

const RULES: Readonly<Record<Gate['metric'], readonly Gate['rule'][]>> = {
  recall: ['min', 'drop'],
  ndcg: ['min', 'drop'],
  overlap: ['min'],
  rows: ['drop'],
  rejects: ['max'],
}

/**
 * Parses one gate.
 * @throws ReembedError USAGE with examples
 */
export function parseGate(text: string): Gate {
  const [, metric, k, rule, value, percent] =
    /^(recall|ndcg|overlap|rows|rejects)(?:@(\d{1,4}))?\s+(min|max|drop)\s+(\d+(?:\.\d+)?)(\s*%)?$/.exec(
      text.trim(),
    ) ?? []
  const gate = {
    text: text.trim(),
    metric: metric as Gate['metric'],
    k: Number(k ?? 10),
    rule: rule as Gate['rule'],
    value: Number(value) / (percent ? 100 : 1),
  }
  const fits = metric !== undefined && RULES[gate.metric].includes(gate.rule) && gate.value <= 1 && gate.k > 0
  if (fits) return gate
  throw new ReembedError(
    'USAGE',
    `'${text}' is not a valid gate: use the form 'recall@10 drop 0.02', 'ndcg@10 min 0.4', 'overlap@10 min 0.3', 'rows drop 5%' or 'rejects max 1%'`,
  )
}

/** Whether a gate needs query vectors and judgements. */
export const needsQueries = ({ metric }: Gate): boolean => metric === 'recall' || metric === 'ndcg'

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
  if (known) return known.results
  const parsed = gates.map(parseGate)
  const cutoffs = [...new Set(parsed.filter(needsQueries).map(({ k }) => k))]
  const { scores, judged, missing } =
    cutoffs.length > 0
      ? await evaluate(store, manifest, cutoffs, signal)
      : { scores: {}, judged: 0, missing: 0 }
  const before = baselineRun === undefined ? undefined : await requireManifest(store, baselineRun)
  const baseline = baselineRun === undefined ? undefined : await readGateReport(store, baselineRun)
  const results: GateResult[] = []
  for (const gate of parsed) {
    const { passed, message } = await evaluateGate(gate)
    const incomplete = needsQueries(gate) && missing > 0 && missing < judged
    const note = incomplete ? `; ${missing} of the ${judged} documents in the qrels are not in the run` : ''
    results.push({ gate: gate.text, passed, message: message + note })
  }
  const record: GateReport = { evaluation: evaluation?.sha256 ?? null, scores, results }
  await putGateReport(store, key, record)
  return results

  async function evaluateGate(gate: Gate): Promise<Omit<GateResult, 'gate'>> {
    const { metric, k, rule, value } = gate
    if (metric === 'rejects') {
      const share = manifest.totals.rejects / Math.max(1, manifest.totals.documents)
      return {
        passed: share <= value,
        message: `${percent(share)} of the documents were rejected, at most ${percent(value)} is allowed`,
      }
    }
    const name = metric === 'rows' ? 'rows' : `${metric}@${k}`
    const own = scores[name] ?? []
    if (needsQueries(gate) && missing === judged) {
      return {
        passed: false,
        message: `none of the ${judged} documents in the qrels is in run ${manifest.run}: use qrels for this corpus`,
      }
    }
    if (rule === 'min' && metric !== 'overlap') {
      const figure = mean(own)
      return {
        passed: figure >= value,
        message: `${name} is ${fixed(figure)} over ${own.length} queries, at least ${fixed(value)} is required`,
      }
    }
    if (before === undefined)
      return { passed: true, message: `${name}: no published version to compare with` }
    if (metric === 'rows') {
      const [now, then] = [manifest.totals.rows, before.totals.rows]
      return {
        passed: now >= then * (1 - value),
        message: `${now} rows, run ${before.run} has ${then}, a drop of at most ${percent(value)} is allowed`,
      }
    }
    if (metric === 'overlap') {
      const { overlap, queries } = await compareRuns(store, before, manifest, { top: k, signal })
      return {
        passed: overlap >= value,
        message: `${name} with run ${before.run} is ${fixed(overlap)} over ${queries} documents, at least ${fixed(value)} is required`,
      }
    }
    const theirs = baseline?.evaluation === evaluation?.sha256 ? baseline?.scores[name] : undefined
    if (theirs === undefined || theirs.length !== own.length) {
      return {
        passed: false,
        message: `${name} is ${fixed(mean(own))}, but run ${before.run} was published without these queries: the drop is unknown`,
      }
    }
    const { drop, low, high } = pairedDrop(theirs, own)
    return {
      passed: drop <= value,
      message: `${name} is ${fixed(mean(own))}, run ${before.run} has ${fixed(mean(theirs))}: a drop of ${fixed(drop)} (95 % interval ${fixed(low)} to ${fixed(high)}, ${own.length} queries), at most ${fixed(value)} is allowed`,
    }
  }
}

/**
 * Any stored report of a run. Its scores are those of the run alone, independent of the baseline.
 */
async function readGateReport(store: Store, run: string): Promise<GateReport | undefined> {
  for await (const { key } of store.list(gatesPrefix(run))) return getGateReport(store, key)
  return undefined
}

const fixed = (value: number): string => value.toFixed(3)
const percent = (value: number): string => `${(100 * value).toFixed(2)} %`
