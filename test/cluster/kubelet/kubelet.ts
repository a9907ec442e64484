// The kubelet of one node: registers the node, runs the pods that are bound to it, and keeps the
// names of Services up to date.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Manifest } from '../../infra/parts/chart.ts'
import type { Api } from '../api.ts'
import { NODE } from '../control-plane.ts'
import { localAddress, type Pod, runPod } from './pod.ts'

export interface PodEvent {
  readonly at: number
  readonly namespace: string
  readonly pod: string
  readonly what: string
}

export interface Kubelet extends AsyncDisposable {
  readonly events: readonly PodEvent[]
  /** The pods of a namespace that were seen, removed ones included. */
  pods(namespace: string, name: RegExp): Pod[]
}

const HEARTBEAT_MS = 10_000
const NAMES_MS = 500
const CAPACITY = {
  ...{ cpu: '64', memory: '512Gi', pods: '200', 'nvidia.com/gpu': '8', 'ephemeral-storage': '1Ti' },
}

/**
 * Starts the kubelet.
 * @param api the node's client
 * @param admin reads EndpointSlices, as the DNS server of a cluster does
 */
export async function startKubelet(folder: string, image: string, api: Api, admin: Api): Promise<Kubelet> {
  const closing = new AbortController()
  const { signal } = closing
  const pods = new Map<string, Pod>()
  const events: PodEvent[] = []
  const hosts = new Map<string, string>()
  let numbers = 10

  async function hostsOf(namespace: string): Promise<string> {
    const path = join(folder, `hosts-${namespace}`)
    if (!hosts.has(namespace)) {
      hosts.set(namespace, '')
      await writeFile(path, '127.0.0.1 localhost\n')
    }
    return path
  }

  async function handle(type: string, object: Manifest): Promise<void> {
    const { uid, namespace, name, deletionTimestamp, deletionGracePeriodSeconds } = object.metadata
    let pod = pods.get(uid)
    if (type === 'DELETED') return pod?.terminate(0)
    if (pod === undefined) {
      if (object.status.phase !== 'Pending') return
      const place = {
        number: numbers++,
        folder: join(folder, 'pods', namespace, name),
        image,
        hosts: await hostsOf(namespace),
      }
      const report = (what: string): void => {
        events.push({ at: Date.now(), namespace, pod: name, what })
      }
      pod = runPod(api, object, place, report)
      pods.set(uid, pod)
    }
    if (deletionTimestamp !== undefined) pod.terminate(deletionGracePeriodSeconds ?? 30)
  }

  /** Lists, then watches from that version on; after an error, again. */
  async function watchPods(): Promise<void> {
    const path = `/api/v1/pods?fieldSelector=spec.nodeName=${NODE}`
    while (!signal.aborted) {
      try {
        const list = await api.get(path)
        for (const object of list.items) await handle('ADDED', object)
        const from = `${path}&watch=1&resourceVersion=${list.metadata.resourceVersion}`
        for await (const { type, object } of api.watch(from, signal)) {
          if (type === 'ERROR') break
          await handle(type, object)
        }
      } catch {
        await pause(500)
      }
    }
  }
  const pause = (ms: number): Promise<void> => wait(ms, undefined, { signal }).catch(() => {})
  const every = async (ms: number, act: () => Promise<void>): Promise<void> => {
    while (!signal.aborted) {
      await act().catch(() => {})
      await pause(ms)
    }
  }

  /** Writes the names of the Services of each namespace that has pods. */
  async function writeNames(): Promise<void> {
    if (hosts.size === 0) return
    const slices = await admin.get('/apis/discovery.k8s.io/v1/endpointslices')
    for (const [namespace, before] of hosts) {
      const lines = slices.items
        .filter(({ metadata }: Manifest) => metadata.namespace === namespace)
        .flatMap(({ metadata, endpoints }: Manifest) => {
          const service = metadata.labels['kubernetes.io/service-name']
          return (endpoints ?? [])
            .filter(({ conditions }: Manifest) => conditions?.ready)
            .map(
              ({ addresses }: Manifest) =>
                `${localAddress(addresses[0])} ${service} ${service}.${namespace}.svc`,
            )
        })
      const text = `${['127.0.0.1 localhost', ...lines.sort()].join('\n')}\n`
      if (text === before) continue
      hosts.set(namespace, text)
      // The file is mounted, so it is overwritten in place.
      await writeFile(join(folder, `hosts-${namespace}`), text)
    }
  }

  await mkdir(folder, { recursive: true })
  await register(api)
  const loops = [watchPods(), every(HEARTBEAT_MS, () => heartbeat(api)), every(NAMES_MS, writeNames)]
  return {
    events,
    pods: (namespace, name) =>
      [...pods.values()].filter(pod => pod.namespace === namespace && name.test(pod.name)),
    async [Symbol.asyncDispose]() {
      closing.abort()
      await Promise.all(loops)
      for (const pod of pods.values()) pod.terminate(0)
      await Promise.all([...pods.values()].map(pod => pod.removed))
    },
  }
}

async function register(api: Api): Promise<void> {
  await api.create('/api/v1/nodes', {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: NODE,
      labels: {
        'kubernetes.io/hostname': NODE,
        'kubernetes.io/arch': 'amd64',
        'kubernetes.io/os': 'linux',
        'topology.kubernetes.io/zone': 'zone-1',
      },
    },
    spec: {},
  })
  await api.create('/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases', {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: NODE, namespace: 'kube-node-lease' },
    spec: { holderIdentity: NODE, leaseDurationSeconds: 40 },
  })
  await heartbeat(api)
}

async function heartbeat(api: Api): Promise<void> {
  const at = new Date().toISOString()
  const condition = (type: string, status: string): Manifest => ({
    ...{ type, status, reason: 'Process', message: '' },
    ...{ lastHeartbeatTime: at.replace(/\.\d+Z$/, 'Z'), lastTransitionTime: at.replace(/\.\d+Z$/, 'Z') },
  })
  await api.patch(
    `/api/v1/nodes/${NODE}/status`,
    {
      status: {
        capacity: CAPACITY,
        allocatable: CAPACITY,
        addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
        conditions: [
          condition('Ready', 'True'),
          ...['MemoryPressure', 'DiskPressure', 'PIDPressure'].map(type => condition(type, 'False')),
        ],
      },
    },
    'strategic',
  )
  await api.patch(`/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/${NODE}`, {
    spec: { holderIdentity: NODE, leaseDurationSeconds: 40, renewTime: at.replace('Z', '000Z') },
  })
}
