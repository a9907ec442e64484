// The limits of publishing: how many documents of a run may be rejected, and how much of the text
// the model may leave unread, before publishing is held.

import { type Plan, type Totals, unreadShare } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'

/**
 * How many rejects a run may have and still be published: a count ('20') or a share of its
 * documents ('1%').
 */
export type RejectLimit = string

/** The limit of a run whose plan sets none: one reject in a hundred documents. */
export const DEFAULT_MAX_REJECTS: RejectLimit = '1%'

/**
 * The share of the text, 0 to 1, that the model may leave unread in a published run. @throws
 * ReembedError USAGE for another form than '1%'
 */
export function truncationAllowed(limit: string): number {
  const [, percent] = /^(\d+(?:\.\d+)?)%$/.exec(limit.trim()) ?? []
  if (percent !== undefined && Number(percent) <= 100) return Number(percent) / 100
  throw new ReembedError('USAGE', `expected a share of the text like '1%', got '${limit}'`, {
    option: 'maxTruncated',
  })
}

/** A limit that a finished run exceeds. */
export interface ExceededLimit {
  readonly by: 'rejects' | 'truncation'
  /** A clause with the figure and the limit. */
  readonly detail: string
}

/**
 * The limits that a finished run exceeds.
 * @throws ReembedError USAGE for a `maxTruncated` of another form than '1%'
 */
export function exceededLimits(
  { documents, rejects, unread }: Pick<Totals, 'documents' | 'rejects' | 'unread'>,
  {
    maxRejects = DEFAULT_MAX_REJECTS,
    maxTruncated,
  }: { readonly maxRejects?: RejectLimit | undefined; readonly maxTruncated?: string | undefined },
): ExceededLimit[] {
  const exceeded: ExceededLimit[] = []
  if (rejects > rejectsAllowed(maxRejects, documents)) {
    const detail = `${rejects} of ${documents} documents were rejected, the limit is ${maxRejects}`
    exceeded.push({ by: 'rejects', detail })
  }
  if (maxTruncated !== undefined && !(unread && unreadShare(unread) <= truncationAllowed(maxTruncated))) {
    const share = unread ? `${(100 * unreadShare(unread)).toFixed(1)} %` : 'an unknown share'
    const detail = `the model did not read ${share} of the text, the limit is ${maxTruncated}`
    exceeded.push({ by: 'truncation', detail })
  }
  return exceeded
}

/** The limit as a number of documents. NaN when the text is neither a count nor a percentage. */
function rejectsAllowed(limit: RejectLimit, documents: number): number {
  const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(limit.trim())
  if (!match) return Number.NaN
  return match[2] === '%' ? (Number(match[1]) / 100) * documents : Number(match[1])
}

/** A limit of publishing of a run that was planned before, and what was given now in its place. */
export interface KeptLimit {
  readonly name: string
  /** 'none' where the plan has no such limit. */
  readonly kept: string
  readonly given: string
}

type Limits = Pick<Plan, 'gates' | 'evaluation' | 'maxTruncated'> & {
  readonly maxRejects?: string | undefined
}

/** The limits that were given and that the plan of the run does not have. */
export function keptLimits(plan: Limits, given: Limits): KeptLimit[] {
  const texts = ({
    gates,
    evaluation,
    maxRejects,
    maxTruncated,
  }: Limits): Record<string, string | undefined> => ({
    gates: gates?.join(', '),
    queries: evaluation && `${evaluation.queries} of ${evaluation.sha256.slice(0, 8)}`,
    'limit of rejects': maxRejects,
    'limit of unread text': maxTruncated,
  })
  const kept = texts(plan)
  return Object.entries(texts(given)).flatMap(([name, wanted]) =>
    wanted === undefined || wanted === kept[name]
      ? []
      : [{ name, kept: kept[name] ?? 'none', given: wanted }],
  )
}
