// PUBLISH: makes a finished run the current version, if it may be. Versions form one line, each put-if-absent on
// the number after the current one; a run older than the current one can never win.

import {
  canonical,
  type Manifest,
  putVersion,
  readCurrent,
  type Store,
  sha256,
  type Version,
} from '@reembed/shared'

export type PublishOutcome =
  | { readonly status: 'published' | 'already_current'; readonly version: Version }
  /** A newer run was published meanwhile. */
  | { readonly status: 'superseded'; readonly by: Version }
  /** Finished and balanced, but somebody must look first. */
  | { readonly status: 'held'; readonly reason: string }

/** How many rejects a run may have and still be published: a count ('20') or a share of its documents ('1%'). */
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
  { maxRejects = DEFAULT_MAX_REJECTS }: { readonly maxRejects?: RejectLimit } = {},
): Promise<PublishOutcome> {
  const { documents, rejects } = manifest.totals
  if (rejects > rejectsAllowed(maxRejects, documents)) {
    return {
      status: 'held',
      reason: `${rejects} of ${documents} documents were rejected, allowed are ${maxRejects}: see runs/${manifest.run}/rejects.jsonl, then publish with a higher --max-rejects`,
    }
  }
  while (true) {
    const current = await readCurrent(store)
    if (current?.run === manifest.run) return { status: 'already_current', version: current }
    if (current && current.seq >= manifest.seq) return { status: 'superseded', by: current }
    const version: Version = {
      version: (current?.version ?? 0) + 1,
      run: manifest.run,
      seq: manifest.seq,
      manifestSha256: sha256(canonical(manifest)),
    }
    if ((await putVersion(store, version)) === 'created') return { status: 'published', version }
  }
}
