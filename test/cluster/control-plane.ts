// etcd, kube-apiserver, kube-controller-manager and kube-scheduler on loopback ports.

import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { freePort } from '@reembed/local'
import { stringify } from 'yaml'
import { type Api, openApi } from './api.ts'
import { binaries } from './binaries.ts'
import { type KeyPair, makeCa, makeCertificate, makeSigningKey } from './pki.ts'
import { eventually, startProgram, tailOf } from './processes.ts'

export interface ControlPlane extends AsyncDisposable {
  readonly port: number
  readonly api: Api
  /** The certificate of the API server's CA, in PEM. */
  readonly ca: string
  /** A configuration for kubectl and helm, as cluster administrator. */
  readonly kubeconfig: string
  /** A client for the kubelet of a node: the Node authorizer decides what it may do. */
  nodeApi(): Api
  writeKubeconfig(name: string, token: string): Promise<string>
}

/** The name of the only node. */
export const NODE = 'node-1'

const USERS = {
  admin: ['admin', 'system:masters'],
  manager: ['system:kube-controller-manager', ''],
  scheduler: ['system:kube-scheduler', ''],
  node: [`system:node:${NODE}`, 'system:nodes'],
} as const

/** Starts the control plane with its data, keys and logs in `folder`. */
export async function startControlPlane(folder: string): Promise<ControlPlane> {
  await using stack = new AsyncDisposableStack()
  const pki = join(folder, 'pki')
  const logs = join(folder, 'logs')
  await Promise.all([mkdir(pki), mkdir(logs)])
  const [etcd, peers, port, managerPort, schedulerPort] = await Promise.all([
    freePort(),
    freePort(),
    freePort(),
    freePort(),
    freePort(),
  ])
  const url = `http://127.0.0.1:${etcd}`
  stack.use(
    await startProgram(
      binaries.kube,
      [
        ...['etcd', '--data-dir', join(folder, 'etcd'), '--unsafe-no-fsync', '--log-level', 'warn'],
        ...['--listen-client-urls', url, '--advertise-client-urls', url],
        ...['--listen-peer-urls', `http://127.0.0.1:${peers}`],
      ],
      join(logs, 'etcd.log'),
    ),
  )

  const tokens = Object.fromEntries(Object.keys(USERS).map(user => [user, randomBytes(16).toString('hex')]))
  const tokenFile = join(pki, 'tokens.csv')
  await writeFile(
    tokenFile,
    Object.entries(USERS)
      .map(([user, [name, group]]) => `${tokens[user]},${name},${user},"${group}"\n`)
      .join(''),
  )
  const authority = await makeCa(pki, 'ca')
  const ca = await readFile(authority.cert, 'utf8')
  const { manager, ...flags } = await apiServerFlags(pki, authority)
  stack.use(
    await startProgram(
      binaries.kube,
      [
        ...[
          'kube-apiserver',
          `--etcd-servers=${url}`,
          `--secure-port=${port}`,
          `--token-auth-file=${tokenFile}`,
        ],
        ...flags.apiServer,
      ],
      join(logs, 'kube-apiserver.log'),
    ),
  )

  const writeKubeconfig = async (name: string, token: string): Promise<string> => {
    const path = join(folder, `${name}.kubeconfig`)
    const certificate = Buffer.from(ca).toString('base64')
    const cluster = { server: `https://127.0.0.1:${port}`, 'certificate-authority-data': certificate }
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'cluster', cluster }],
      users: [{ name, user: { token } }],
      contexts: [{ name, context: { cluster: 'cluster', user: name } }],
      'current-context': name,
    }
    await writeFile(path, stringify(config))
    return path
  }
  const clientOf = (user: keyof typeof USERS): Api => openApi(port, ca, tokens[user] ?? '')
  const api = clientOf('admin')
  // Both are created while the API server starts.
  const started = eventually(
    'the API server is ready',
    60_000,
    async () =>
      (await api.get('/api/v1/namespaces/kube-node-lease')) &&
      (await api.get('/apis/rbac.authorization.k8s.io/v1/clusterroles/system:kube-scheduler')),
  )
  await started.catch(async error => {
    throw new Error(await tailOf(join(logs, 'kube-apiserver.log')), { cause: error })
  })

  for (const [program, user, flags, at] of [
    ['kube-controller-manager', 'manager', manager, managerPort],
    ['kube-scheduler', 'scheduler', [], schedulerPort],
  ] as const) {
    const config = await writeKubeconfig(user, tokens[user] ?? '')
    stack.use(
      await startProgram(
        binaries.kube,
        [
          ...[program, `--kubeconfig=${config}`, `--authentication-kubeconfig=${config}`],
          ...[`--authorization-kubeconfig=${config}`, '--bind-address=127.0.0.1', `--secure-port=${at}`],
          ...['--leader-elect=false', ...flags],
        ],
        join(logs, `${program}.log`),
      ),
    )
  }
  const kubeconfig = await writeKubeconfig('admin', tokens.admin ?? '')
  const all = stack.move()
  return {
    port,
    api,
    ca,
    kubeconfig,
    nodeApi: () => clientOf('node'),
    writeKubeconfig,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  }
}

async function apiServerFlags(
  pki: string,
  ca: KeyPair,
): Promise<{ readonly apiServer: string[]; readonly manager: string[] }> {
  const frontCa = await makeCa(pki, 'front-proxy-ca')
  const front = await makeCertificate(pki, 'front-proxy-client', frontCa, ['DNS:front-proxy'])
  const server = await makeCertificate(pki, 'kube-apiserver', ca, ['IP:127.0.0.1', 'DNS:localhost'])
  const signing = await makeSigningKey(pki)
  return {
    apiServer: [
      ...['--bind-address=127.0.0.1', '--advertise-address=127.0.0.1', '--endpoint-reconciler-type=none'],
      ...[
        `--tls-cert-file=${server.cert}`,
        `--tls-private-key-file=${server.key}`,
        `--client-ca-file=${ca.cert}`,
      ],
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${signing.publicKey}`,
      `--service-account-signing-key-file=${signing.key}`,
      ...['--service-cluster-ip-range=10.96.0.0/16', '--authorization-mode=Node,RBAC'],
      '--enable-admission-plugins=NodeRestriction',
      // API aggregation, for the metrics API of KEDA.
      `--requestheader-client-ca-file=${frontCa.cert}`,
      '--requestheader-allowed-names=front-proxy-client',
      '--requestheader-extra-headers-prefix=X-Remote-Extra-',
      '--requestheader-group-headers=X-Remote-Group',
      '--requestheader-username-headers=X-Remote-User',
      ...[`--proxy-client-cert-file=${front.cert}`, `--proxy-client-key-file=${front.key}`],
      '--enable-aggregator-routing=false',
    ],
    manager: [
      `--service-account-private-key-file=${signing.key}`,
      `--root-ca-file=${ca.cert}`,
      '--use-service-account-credentials=true',
      '--controllers=*,-node-ipam-controller,-service-lb-controller,-node-route-controller,-cloud-node-lifecycle-controller',
    ],
  }
}
