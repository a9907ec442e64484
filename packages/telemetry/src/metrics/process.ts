// What every process says of itself: memory, CPU, and how long its event loop keeps others waiting.

import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Registry } from './registry.ts'

/** Declares the process metrics. The event loop is watched from now on; its figures are those since the last scrape. */
export function observeProcess(registry: Registry, version: string): void {
  const build = registry.gauge('reembed_build_info', 'Version of reembed and of Node; always 1.', {
    version: 1,
    node: 1,
  })
  build.set(1, { version, node: process.versions.node })

  const started = registry.gauge('process_start_time_seconds', 'Start of the process, in Unix seconds.', {})
  started.set(Date.now() / 1000 - process.uptime(), {})
  const cpu = registry.counter('process_cpu_seconds_total', 'CPU time of the process, user and system.', {})
  const resident = registry.gauge('process_resident_memory_bytes', 'Resident memory of the process.', {})
  const memory = registry.gauge('reembed_memory_bytes', 'Memory of the process by kind.', {
    kind: ['heap_used', 'array_buffers', 'external'],
  })
  const lag = registry.gauge(
    'reembed_event_loop_lag_seconds',
    'Event loop delay since the last scrape in seconds: 99th percentile (p99) and maximum (max).',
    { stat: ['p99', 'max'] },
  )

  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delay.enable()
  let cpuBefore = 0
  registry.collect(() => {
    const { user, system } = process.cpuUsage()
    cpu.add((user + system) / 1e6 - cpuBefore, {})
    cpuBefore = (user + system) / 1e6
    const { rss, heapUsed, arrayBuffers, external } = process.memoryUsage()
    resident.set(rss, {})
    memory.set(heapUsed, { kind: 'heap_used' })
    memory.set(arrayBuffers, { kind: 'array_buffers' })
    memory.set(external, { kind: 'external' })
    lag.set(lagOf(delay.percentile(99)), { stat: 'p99' })
    lag.set(lagOf(delay.max), { stat: 'max' })
    delay.reset()
  })
}

const RESOLUTION_MS = 20

/** The histogram holds the time between two turns of a timer, in nanoseconds: what is beyond its period is lag. */
const lagOf = (nanoseconds: number): number =>
  Number.isFinite(nanoseconds) ? Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1e3) : 0
