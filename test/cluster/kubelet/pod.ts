// One pod from its assignment to its removal: start, probes, restarts, SIGTERM, grace period,
// SIGKILL.

import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Manifest } from '../../infra/parts/chart.ts'
import type { Api } from '../api.ts'
import { startContainer } from './container.ts'
import { watchProbe } from './probe.ts'
import { environmentOf, mountsOf } from './volumes.ts'

export interface PodPlace {
  /** 0 to 65535: the pod is `10.244.x.y` for the API server, and `127.244.x.y` on this machine. */
  readonly number: number
  /** For logs and volumes. */
  readonly folder: string
  readonly image: string
  readonly hosts: string
}

export interface Pod {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  /** Begins the removal of the pod. */
  terminate(graceSeconds: number): void
  readonly removed: Promise<void>
  logs(): Promise<string>
  readonly restarts: number
}

const RESTART_SECONDS = { first: 10, last: 300 }
const now = (): string => new Date().toISOString().replace(/\.\d+Z$/, 'Z')
const octets = (number: number): string => `${number >> 8}.${number & 255}`

export const podAddress = (number: number): string => `10.244.${octets(number)}`
/** The address on this machine of a pod's address in the cluster. */
export const localAddress = (address: string): string => address.replace(/^10\./, '127.')

/** Runs a pod. */
export function runPod(api: Api, manifest: Manifest, place: PodPlace, report: (what: string) => void): Pod {
  const { namespace, name, uid } = manifest.metadata
  const [container] = manifest.spec.containers
  const path = `/api/v1/namespaces/${namespace}/pods/${name}`
  const address = localAddress(podAddress(place.number))
  const { restartPolicy = 'Always' } = manifest.spec
  const terminating = new AbortController()
  let grace = manifest.spec.terminationGracePeriodSeconds ?? 30
  let restarts = 0
  const status = { phase: 'Pending', ready: false, started: false, since: now(), startedAt: now() }
  let state: Manifest = { waiting: { reason: 'ContainerCreating' } }
  let lastState: Manifest = {}

  /** Statuses are written one after the other, so that the last one stays. */
  let written: Promise<unknown> = Promise.resolve()
  const publish = (): Promise<unknown> => {
    const ended = status.phase === 'Succeeded' || status.phase === 'Failed'
    const ready = status.ready && !ended
    const condition = (type: string, value: boolean): Manifest => ({
      type,
      status: value ? 'True' : 'False',
      lastTransitionTime: status.since,
    })
    const body = {
      metadata: { uid },
      status: {
        phase: status.phase,
        hostIP: '127.0.0.1',
        podIP: podAddress(place.number),
        podIPs: [{ ip: podAddress(place.number) }],
        startTime: manifest.metadata.creationTimestamp,
        conditions: [
          condition('PodScheduled', true),
          condition('Initialized', true),
          condition('ContainersReady', ready),
          condition('Ready', ready),
        ],
        containerStatuses: [
          {
            ...{ name: container.name, image: container.image, imageID: 'process', state, lastState },
            ...{ ready, started: status.started, restartCount: restarts },
            containerID: `process://${uid}-${restarts}`,
          },
        ],
      },
    }
    written = written
      .then(() => api.patch(`${path}/status`, body))
      .catch(error => report(`status: ${error.message}`))
    return written
  }
  const setReady = (ready: boolean): void => {
    if (ready === status.ready) return
    Object.assign(status, { ready, since: now() })
    report(ready ? 'ready' : 'unready')
    void publish()
  }

  async function stop(running: ChildProcess, exited: Promise<unknown>): Promise<void> {
    const deadline = wait(1000 * grace, undefined, { ref: false })
    const preStop = container.lifecycle?.preStop?.sleep?.seconds ?? 0
    await Promise.race([wait(1000 * Math.min(preStop, grace)), exited])
    report('SIGTERM')
    running.kill('SIGTERM')
    const inTime = await Promise.race([exited.then(() => true), deadline.then(() => false)])
    if (inTime) return
    report('SIGKILL')
    running.kill('SIGKILL')
  }

  /** Runs the container once and returns its exit code, as a shell does: 128 + signal. */
  async function runOnce(): Promise<number> {
    const env = await environmentOf(api, manifest)
    const mounts = await mountsOf(api, manifest, join(place.folder, 'volumes'))
    const log = join(place.folder, `${restarts}.log`)
    const running = await startContainer(manifest, env, mounts, { ...place, address, log })
    const exited = once(running, 'exit')
    Object.assign(status, { phase: 'Running', startedAt: now() })
    state = { running: { startedAt: status.startedAt } }
    report('started')
    void publish()
    const ended = new AbortController()
    const { startupProbe, livenessProbe, readinessProbe } = container
    const watch = (probe: Manifest, changed: (success: boolean) => void): void => {
      if (probe !== undefined) void watchProbe(probe, container, address, ended.signal, changed)
    }
    const failed = (probe: string): void => {
      report(`${probe} probe failed`)
      void stop(running, exited)
    }
    const begin = (): void => {
      status.started = true
      void publish()
      watch(livenessProbe, success => success || failed('liveness'))
      if (readinessProbe === undefined) setReady(true)
      else watch(readinessProbe, setReady)
    }
    if (startupProbe === undefined) begin()
    else watch(startupProbe, success => (success ? status.started || begin() : failed('startup')))
    const onTerminate = (): unknown => stop(running, exited)
    terminating.signal.addEventListener('abort', onTerminate, { once: true })
    if (terminating.signal.aborted) onTerminate()
    const [code, signal] = (await exited) as [number | null, NodeJS.Signals | null]
    terminating.signal.removeEventListener('abort', onTerminate)
    ended.abort()
    Object.assign(status, { ready: false, started: false, since: now() })
    return code ?? 128 + (signal === 'SIGKILL' ? 9 : 15)
  }

  const pause = (seconds: number): Promise<void> =>
    wait(1000 * seconds, undefined, { signal: terminating.signal, ref: false }).catch(() => {})

  async function live(): Promise<void> {
    await mkdir(place.folder, { recursive: true })
    let backoff = RESTART_SECONDS.first
    while (!terminating.signal.aborted) {
      let exitCode: number
      try {
        exitCode = await runOnce()
      } catch (error) {
        state = { waiting: { reason: 'CreateContainerConfigError', message: (error as Error).message } }
        report(`CreateContainerConfigError: ${(error as Error).message}`)
        void publish()
        await pause(2)
        continue
      }
      report(`exited with ${exitCode}`)
      const reason = exitCode === 0 ? 'Completed' : 'Error'
      lastState = { terminated: { exitCode, reason, startedAt: status.startedAt, finishedAt: now() } }
      const over = restartPolicy === 'Never' || (restartPolicy === 'OnFailure' && exitCode === 0)
      if (over || terminating.signal.aborted) {
        state = lastState
        status.phase = exitCode === 0 ? 'Succeeded' : 'Failed'
        break
      }
      restarts += 1
      state = { waiting: { reason: 'CrashLoopBackOff', message: `back-off ${backoff}s` } }
      void publish()
      await pause(backoff)
      backoff = Math.min(RESTART_SECONDS.last, 2 * backoff)
    }
    await publish()
    // A finished pod stays until it is deleted.
    if (!terminating.signal.aborted) await once(terminating.signal, 'abort')
    await api
      .delete(path, { gracePeriodSeconds: 0, preconditions: { uid } })
      .catch(error => report(error.message))
    report('removed')
  }

  const removed = live().catch(error => report(`failed: ${error.stack}`))
  return {
    namespace,
    name,
    uid,
    removed: removed.then(() => {}),
    get restarts() {
      return restarts
    },
    terminate(seconds) {
      if (terminating.signal.aborted) return
      grace = seconds
      terminating.abort()
    },
    async logs() {
      const files = (await readdir(place.folder)).filter(file => file.endsWith('.log')).sort()
      return (await Promise.all(files.map(file => readFile(join(place.folder, file), 'utf8')))).join('')
    },
  }
}
