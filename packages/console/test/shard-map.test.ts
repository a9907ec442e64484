import { expect, test } from 'vitest'
import { cellsOf, MAX_CELLS, SHARD_STATES } from '../src/data/shard-cells.ts'
import { shardMap } from '../src/page/shard-map.ts'

const link = { path: '/runs/x', output: '/out' }
const code = (state: (typeof SHARD_STATES)[number]): number => SHARD_STATES.indexOf(state)

test('a run of few shards has one cell for each, counted by state', () => {
  const { cells, counts, shardsPerCell } = cellsOf(Uint8Array.of(2, 2, 1, 0))
  expect([...cells]).toEqual([2, 2, 1, 0])
  expect(shardsPerCell).toBe(1)
  expect(counts).toEqual({ waiting: 1, active: 1, done: 2, reused: 0, rejects: 0, failed: 0 })
})

test('a failed shard decides the cell of its bin, then an active one, then the majority', () => {
  const states = new Uint8Array(3 * MAX_CELLS).fill(code('done'))
  states.set([code('failed'), code('active'), code('done')], 0)
  states.set([code('active'), code('done'), code('done')], 3)
  states.set([code('waiting'), code('waiting'), code('done')], 6)
  const { cells, shardsPerCell } = cellsOf(states)
  expect(shardsPerCell).toBe(3)
  expect([...cells.subarray(0, 4)]).toEqual([code('failed'), code('active'), code('waiting'), code('done')])
})

test('a map of 100,000 shards takes less than a second of the CPU and is small, also where states alternate', () => {
  const states = Uint8Array.from(
    { length: 100_000 },
    (_, shard) => Math.floor(shard / 20) % SHARD_STATES.length,
  )
  const started = process.cpuUsage()
  const { text } = shardMap(cellsOf(states), link)
  expect(process.cpuUsage(started).user).toBeLessThan(1_000_000)
  // No two neighbours have the same state: no rectangle covers two cells.
  expect(text.match(/h10v10h-10z/g)).toHaveLength(MAX_CELLS)
  expect(text.length).toBeLessThan(150_000)
  const uniform = shardMap(cellsOf(new Uint8Array(100_000).fill(code('done'))), link).text
  expect(uniform.length).toBeLessThan(5_000)
})
