// How many documents of a run are embedded, for display.

import type { RunProgress } from '@reembed/queue'

/**
 * The documents of the shards that exist, and of unfinished ones. Redis counts a shard again that
 * two workers have made, and knows none from before it was emptied. So its counts give the mean of
 * a shard, and the store gives the number of shards.
 * @param estimated the documents of the run
 */
export function countDocumentsDone(
  { done, total }: { readonly done: number; readonly total: number },
  progress: Pick<RunProgress, 'shards' | 'documents' | 'openDocuments'>,
  estimated: number,
): number {
  if (total === 0) return 0
  const mean = estimated / total
  const counted = progress.shards > 0 ? progress.documents / progress.shards : mean
  // Shards that Redis does not know have the mean of the plan.
  const known = Math.min(done, progress.shards)
  const open = Math.min(progress.openDocuments, (total - done) * Math.max(mean, counted))
  return Math.round(known * counted + (done - known) * mean + open)
}
