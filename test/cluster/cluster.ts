// A Kubernetes cluster on this machine: a real control plane with KEDA, Helm, and pods that are
// processes of the bundle.

import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { stringify } from 'yaml'
import { chart, type Manifest, repository } from '../infra/parts/chart.ts'
import type { Api } from './api.ts'
import { binaries } from './binaries.ts'
import { startControlPlane } from './control-plane.ts'
import { installCrds, startKeda } from './keda.ts'
import { type Kubelet, startKubelet } from './kubelet/kubelet.ts'

const run = promisify(execFile)

export interface Ran {
  readonly code: number
  readonly output: string
}

export interface Cluster extends AsyncDisposable {
  readonly folder: string
  readonly api: Api
  readonly kubelet: Kubelet
  readonly kubeconfig: string
  /** Creates a namespace under the pod security standard `restricted`. */
  createNamespace(name: string): Promise<void>
  createSecret(namespace: string, name: string, values: Readonly<Record<string, string>>): Promise<void>
  /** Runs Helm in a namespace. Does not throw if Helm fails. */
  helm(namespace: string, ...args: readonly string[]): Promise<Ran>
  /** `helm <command> reembed <chart>` with values. */
  helmChart(namespace: string, command: readonly string[], values: Manifest): Promise<Ran>
  /** What the pods of a Deployment or Job wrote, in the order of their creation. */
  logs(namespace: string, name: RegExp): Promise<string>
}

/** Starts a cluster: with the custom resources of KEDA, and with `keda` also with its programs. */
export async function startCluster({ keda = false }: { readonly keda?: boolean } = {}): Promise<Cluster> {
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'reembed-cluster-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  const image = join(folder, 'image')
  await mkdir(image)
  const [plane] = await Promise.all([
    startControlPlane(folder),
    run(process.execPath, [join(repository, 'infra/docker/bundle.mjs'), image]),
  ])
  stack.use(plane)
  await installCrds(plane)
  if (keda) stack.use(await startKeda(folder, plane))
  const kubelet = stack.use(await startKubelet(join(folder, 'kubelet'), image, plane.nodeApi(), plane.api))
  const { api, kubeconfig } = plane
  let valueFiles = 0

  async function helm(namespace: string, ...args: readonly string[]): Promise<Ran> {
    const env = { ...process.env, KUBECONFIG: kubeconfig, HELM_CACHE_HOME: folder, HELM_CONFIG_HOME: folder }
    try {
      const { stdout, stderr } = await run(binaries.helm, ['--namespace', namespace, ...args], { env })
      return { code: 0, output: stdout + stderr }
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
      return { code, output: stdout + stderr }
    }
  }

  const all = stack.move()
  return {
    folder,
    api,
    kubelet,
    kubeconfig,
    async createNamespace(name) {
      const restricted = 'restricted'
      const labels = {
        'pod-security.kubernetes.io/enforce': restricted,
        'pod-security.kubernetes.io/warn': restricted,
      }
      await api.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } }])
    },
    async createSecret(namespace, name, stringData) {
      await api.apply([{ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData }])
    },
    helm,
    async helmChart(namespace, command, values) {
      const file = join(folder, `values-${valueFiles++}.yaml`)
      await writeFile(file, stringify(values))
      const [name = '', ...flags] = command
      return helm(namespace, name, 'reembed', chart, '--values', file, ...flags)
    },
    async logs(namespace, name) {
      return (await Promise.all(kubelet.pods(namespace, name).map(pod => pod.logs()))).join('')
    },
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}
