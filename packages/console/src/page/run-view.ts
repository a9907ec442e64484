// Everything that the page of a run shows.

import type { GateReport } from '@reembed/protocol'
import type { RatePoint, RejectSample } from '../data/run-detail.ts'
import type { History, RunEvent } from '../data/samples.ts'
import type { ShardDetail } from '../data/shard.ts'
import type { ShardCells } from '../data/shard-cells.ts'
import type { WatchedRun } from '../data/watch-outputs.ts'

export interface RunView extends WatchedRun {
  readonly output: string
  /** Why the store does not answer, and since when what is shown is old. */
  readonly problem?: { readonly text: string; readonly readMs: number | undefined } | undefined
  /** Whether some of this is still being read: it is sent to open pages when it is known. */
  readonly isReading: boolean
  readonly cells: ShardCells | undefined
  readonly history: History
  readonly rates: readonly RatePoint[]
  readonly recorded: readonly RunEvent[]
  readonly gates: GateReport | undefined
  /** Undefined until the reader asks for them: they cost a read of receipts. */
  readonly rejectSamples: readonly RejectSample[] | undefined
  /** Undefined unless the address names a shard; null for a number that is no shard. */
  readonly shard: ShardDetail | null | undefined
}
