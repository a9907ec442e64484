// A target of a vector store that holds a run, or will, as one line of its status.

import type { LoadStatus } from '@reembed/producer'
import { count, counted, duration } from './numbers.ts'

/** 'postgres://db/search wiki_q2vzabcd: in use for 2 d 3 h, 20,000 rows' */
export function loadText(load: LoadStatus, nowMs: number): string {
  const { address, name, target, sinceMs, shards, shardsDone, secondsLeft, rows, refused, waitingFor } = load
  const since = sinceMs === undefined ? '' : ` for ${duration(nowMs - sinceMs)}`
  const held =
    rows === undefined ? '' : `, ${counted(rows, 'row')}${refused ? `, ${count(refused)} refused` : ''}`
  const left = secondsLeft === undefined ? '' : `, about ${duration(1_000 * secondsLeft)} left`
  const text = {
    loading: `loading${since}, ${count(shardsDone)} of ${counted(shards, 'shard')}${left}${waitingFor === undefined ? '' : `; waiting: ${waitingFor}`}`,
    loaded: `loaded${held}; searches for ${name} do not use it`,
    in_use: `searches for ${name} use it${since}${held}`,
    updating: `holds rows of this run and of an earlier one since an interrupted update${since}: load the run again`,
  }[load.state]
  return `${address} ${target}: ${text}`
}
