// A recorded preview, `runs/<run>/previews/<n>.json`: what another model made of a sample of the
// run's documents, so that others can see it. It is deleted with its run.

import {
  count,
  filledText,
  is,
  list,
  oneOf,
  optional,
  positive,
  previewKey,
  previewPrefix,
  record,
} from '@reembed/shared'
import { objectKind, type Store } from '@reembed/store'
import { type Attribution, attributionFields, stamped } from './attribution.ts'
import {
  type JudgedComparison,
  judgedComparisonShape,
  type RowComparison,
  rowComparisonShape,
  type ThresholdComparison,
  thresholdShape,
} from './compared.ts'
import { type ModelIdentity, modelShape } from './receipt.ts'

/** A sample embedded with another model, compared with a run. */
export interface PreviewFigures extends ThresholdComparison {
  /** The run that was current. */
  readonly run: string
  readonly model: ModelIdentity
  /** Documents in the sample. */
  readonly sampled: number
  /** Names and values, as the command prints them. */
  readonly figures: readonly (readonly [name: string, value: string])[]
  readonly compared: RowComparison
  /** Undefined without judged queries that the run was planned with. */
  readonly judged?: JudgedComparison | undefined
}

export interface PreviewRecord extends PreviewFigures, Attribution {
  readonly number: number
}

const previews = objectKind<PreviewRecord>({
  noun: 'a preview that reembed wrote',
  shape: record<PreviewRecord>({
    number: positive,
    run: filledText,
    model: modelShape,
    sampled: count,
    figures: list(
      is(row => Array.isArray(row) && row.length === 2 && row.every(cell => typeof cell === 'string')),
    ),
    compared: rowComparisonShape,
    judged: optional(judgedComparisonShape),
    thresholds: list(thresholdShape),
    thresholdsBy: oneOf(['queries', 'documents'] satisfies ThresholdComparison['thresholdsBy'][]),
    ...attributionFields,
  }),
  check: ({ run, number }, key) =>
    previewKey(run, number) === key ? undefined : `it contains preview ${number} of run ${run}`,
})

/** The newest recorded previews of a run, newest first. */
export async function readPreviews(store: Store, run: string, limit: number): Promise<PreviewRecord[]> {
  const found: PreviewRecord[] = []
  for await (const { key } of store.list(previewPrefix(run))) {
    // gc may delete the run meanwhile.
    const preview = await previews.read(store, key)
    if (preview) found.push(preview)
    if (found.length === limit) break
  }
  return found
}

/** Records a preview under the next free number, with the present time. */
export async function putPreview(
  store: Store,
  preview: Omit<PreviewRecord, 'number' | 'at'>,
): Promise<PreviewRecord> {
  const [newest] = await readPreviews(store, preview.run, 1)
  for (let number = (newest?.number ?? 0) + 1; ; number += 1) {
    const written = stamped({ ...preview, number })
    if ((await previews.put(store, previewKey(preview.run, number), written)) === 'created') return written
  }
}
