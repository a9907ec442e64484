// Metrics of the process itself: version, start time, memory, CPU time and event loop delay.

import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Registry } from './registry.ts'

/**
 * Declares the process metrics and starts to measure the event loop delay. Each scrape resets the
 * measurement.
 */
export function observeProcess(registry: Registry, version: string): void {
  const build = registry.gauge(
    'reembed_build_info',
    'Constant 1, labeled with the versions of reembed and Node.',
    {
      version: 1,
      node: 1,
    },
  )
  build.set(1, { version, node: process.versions.node })

  const started = registry.gauge(
    'process_start_time_seconds',
    'Start time of the process in Unix seconds.',
    {},
  )
  started.set(Date.now() / 1000 - process.uptime(), {})
  const cpu = registry.counter(
    'process_cpu_seconds_total',
    'CPU time of the process in seconds, user and system.',
    {},
  )
  const resident = registry.gauge(
    'process_resident_memory_bytes',
    'Resident memory of the process in bytes.',
    {},
  )
  const memory = registry.gauge('reembed_memory_bytes', 'Memory of the process in bytes, by kind.', {
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

/**
 * The histogram records the interval between timer callbacks in nanoseconds: the excess over the
 * timer's period is lag.
 */
const lagOf = (nanoseconds: number): number =>
  Number.isFinite(nanoseconds) ? Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1e3) : 0
