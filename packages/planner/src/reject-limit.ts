// The reject limit: how many documents of a run may be rejected before publishing is held.

/**
 * How many rejects a run may have and still be published: a count ('20') or a share of its
 * documents ('1%').
 */
export type RejectLimit = string

/** The limit of a run whose plan sets none: one reject in a hundred documents. */
export const DEFAULT_MAX_REJECTS: RejectLimit = '1%'

/** The limit as a number of documents. NaN when the text is neither a count nor a percentage. */
export function rejectsAllowed(limit: RejectLimit, documents: number): number {
  const match = /^(\d+(?:\.\d+)?)(%?)$/.exec(limit.trim())
  if (!match) return Number.NaN
  return match[2] === '%' ? (Number(match[1]) / 100) * documents : Number(match[1])
}
