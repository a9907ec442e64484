// KEDA's operator, metrics adapter and admission webhooks, under KEDA's own RBAC.

import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from '@reembed/local'
import { type Manifest, parseManifests } from '../infra/parts/chart.ts'
import { binaries, kedaConfig, prometheusCrds } from './binaries.ts'
import type { ControlPlane } from './control-plane.ts'
import { makeCa, makeCertificate } from './pki.ts'
import { eventually, type Program, startProgram } from './processes.ts'

const read = async (...paths: string[]): Promise<Manifest[]> =>
  (await Promise.all(paths.map(async path => parseManifests(await readFile(path, 'utf8'))))).flat()

const readFolder = async (folder: string): Promise<Manifest[]> =>
  read(...(await readdir(folder)).filter(name => name.endsWith('.yaml')).map(name => join(folder, name)))

/** Installs the custom resources of KEDA and of the Prometheus operator. */
export async function installCrds({ api }: ControlPlane): Promise<void> {
  const crds = [...(await readFolder(join(kedaConfig, 'crd/bases'))), ...(await readFolder(prometheusCrds))]
  await api.apply(crds)
  const list = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
  await eventually('the custom resources are established', 90_000, async () =>
    (await api.get(list)).items.every((crd: Manifest) =>
      crd.status?.conditions?.some((one: Manifest) => one.type === 'Established' && one.status === 'True'),
    ),
  )
}

/** Starts KEDA with its keys and logs in `folder`. */
export async function startKeda(folder: string, plane: ControlPlane): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  const { api } = plane
  const certificates = join(folder, 'keda')
  await mkdir(certificates)
  const ca = await makeCa(certificates, 'ca')
  await makeCertificate(certificates, 'tls', ca, ['DNS:localhost', 'IP:127.0.0.1'])
  const [metrics, adapter, webhooks, ...internal] = await Promise.all(
    Array.from({ length: 8 }, () => freePort()),
  )
  const caBundle = Buffer.from(await readFile(ca.cert)).toString('base64')

  await api.apply([
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'keda' } },
    ...(await read(
      join(kedaConfig, 'service_account/service_account.yaml'),
      ...['rbac', 'metrics-server'].flatMap(part => [
        join(kedaConfig, part, 'role.yaml'),
        join(kedaConfig, part, 'role_binding.yaml'),
      ]),
    )),
    ...metricsApi(Number(adapter)),
  ])
  const account = '/api/v1/namespaces/keda/serviceaccounts/keda-operator/token'
  const { status } = await api.create(account, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { expirationSeconds: 86_400 },
  })
  const kubeconfig = await plane.writeKubeconfig('keda', status.token)
  const env = {
    KUBECONFIG: kubeconfig,
    POD_NAMESPACE: 'keda',
    WATCH_NAMESPACE: '',
    KEDA_CLUSTER_OBJECT_NAMESPACE: 'keda',
  }
  const start = (name: string, path: string, args: readonly string[]): Promise<Program> =>
    startProgram(path, args, join(folder, 'logs', `${name}.log`), env)
  const at = (i: number): string => `127.0.0.1:${internal[i]}`

  stack.use(
    await start('keda-operator', binaries.kedaOperator, [
      ...['--zap-log-level=info', '--zap-encoder=console', `--cert-dir=${certificates}`],
      ...[`--metrics-bind-address=${at(0)}`, `--health-probe-bind-address=${at(1)}`],
      `--metrics-service-bind-address=127.0.0.1:${metrics}`,
    ]),
  )
  stack.use(
    await start('keda-webhooks', binaries.kedaWebhooks, [
      ...[`--port=${webhooks}`, `--cert-dir=${certificates}`],
      ...[`--metrics-bind-address=${at(2)}`, `--health-probe-bind-address=${at(3)}`],
    ]),
  )
  const tls = { cert: join(certificates, 'tls.crt'), key: join(certificates, 'tls.key') }
  stack.use(
    await start('keda-adapter', binaries.kedaAdapter, [
      ...[`--secure-port=${adapter}`, '--bind-address=127.0.0.1', `--port=${internal[4]}`],
      ...[`--metrics-service-address=localhost:${metrics}`, `--cert-dir=${certificates}`],
      ...[`--client-ca-file=${ca.cert}`, `--tls-cert-file=${tls.cert}`, `--tls-private-key-file=${tls.key}`],
      ...[`--kubeconfig=${kubeconfig}`, `--lister-kubeconfig=${kubeconfig}`],
      ...[`--authentication-kubeconfig=${kubeconfig}`, `--authorization-kubeconfig=${kubeconfig}`],
    ]),
  )
  await eventually('the metrics API of KEDA is available', 60_000, async () =>
    (
      await api.get('/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io')
    ).status?.conditions?.some((one: Manifest) => one.type === 'Available' && one.status === 'True'),
  )
  await eventually('the admission webhooks of KEDA are registered', 30_000, async () => {
    await api.apply(await admission(Number(webhooks), caBundle))
    return true
  })
  const all = stack.move()
  return { [Symbol.asyncDispose]: () => all.disposeAsync() }
}

/** The aggregated API: an ExternalName service leads the API server to a port of this machine. */
const metricsApi = (port: number): Manifest[] => [
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'keda-metrics-apiserver', namespace: 'keda' },
    spec: { type: 'ExternalName', externalName: 'localhost', ports: [{ port }] },
  },
  {
    apiVersion: 'apiregistration.k8s.io/v1',
    kind: 'APIService',
    metadata: { name: 'v1beta1.external.metrics.k8s.io' },
    spec: {
      service: { name: 'keda-metrics-apiserver', namespace: 'keda', port },
      group: 'external.metrics.k8s.io',
      version: 'v1beta1',
      groupPriorityMinimum: 100,
      versionPriority: 100,
      insecureSkipTLSVerify: true,
    },
  },
]

/** KEDA's webhooks by URL, refusing what they cannot check. */
async function admission(port: number, caBundle: string): Promise<Manifest[]> {
  const configurations = await read(join(kedaConfig, 'webhooks/validation_webhooks.yaml'))
  for (const { webhooks } of configurations) {
    for (const webhook of webhooks) {
      const { path } = webhook.clientConfig.service
      webhook.clientConfig = { url: `https://localhost:${port}${path}`, caBundle }
      webhook.failurePolicy = 'Fail'
    }
  }
  return configurations
}
