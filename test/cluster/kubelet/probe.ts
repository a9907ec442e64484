// The probes of a container, each with its own period.

import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import type { Manifest } from '../../infra/parts/chart.ts'

/** Whether the probe succeeds once. */
export async function probeOnce(probe: Manifest, container: Manifest, address: string): Promise<boolean> {
  const timeout = AbortSignal.timeout(1000 * (probe.timeoutSeconds ?? 1))
  const { port: named } = probe.httpGet ?? probe.tcpSocket
  const port =
    typeof named === 'number'
      ? named
      : container.ports.find((one: Manifest) => one.name === named).containerPort
  try {
    if (probe.tcpSocket !== undefined) {
      const socket = connect(port, address)
      try {
        await once(socket, 'connect', { signal: timeout })
      } finally {
        socket.destroy()
      }
      return true
    }
    const reply = await fetch(`http://${address}:${port}${probe.httpGet.path}`, {
      signal: timeout,
      redirect: 'manual',
    })
    await reply.arrayBuffer()
    return reply.status < 400
  } catch {
    return false
  }
}

/**
 * Probes until `signal` aborts. Reports changes: success, or failure after `failureThreshold`
 * failures in a row.
 */
export async function watchProbe(
  probe: Manifest,
  container: Manifest,
  address: string,
  signal: AbortSignal,
  changed: (success: boolean) => void,
): Promise<void> {
  let failures = 0
  let last: boolean | undefined
  const pause = (seconds: number): Promise<void> =>
    wait(1000 * seconds, undefined, { signal, ref: false }).catch(() => {})
  await pause(probe.initialDelaySeconds ?? 0)
  while (!signal.aborted) {
    const success = await probeOnce(probe, container, address)
    failures = success ? 0 : failures + 1
    const state = success || (failures >= (probe.failureThreshold ?? 3) ? false : last)
    if (state !== undefined && state !== last && !signal.aborted) changed(state)
    last = state
    await pause(probe.periodSeconds ?? 10)
  }
}
