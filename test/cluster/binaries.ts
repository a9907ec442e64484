// The programs of the cluster: built once from Go modules, into the cache folder of the user.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { chmod, cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, join } from 'node:path'
import { promisify } from 'node:util'
import { onPath } from '../infra/parts/tools.ts'

const run = promisify(execFile)

const KUBERNETES = 'v1.35.4'
const KEDA = 'github.com/kedacore/keda/v2@v2.20.2'
const HELM = 'helm.sh/helm/v3@v3.20.2'
const PROMETHEUS_OPERATOR = 'github.com/prometheus-operator/prometheus-operator@v0.85.0'

/** KEDA's scalers that the chart uses. All others are left out: they are most of the build. */
const SCALERS = ['cpu', 'cron', 'memory', 'prometheus', 'redis', 'redis-cluster', 'redis-sentinel']
/** Constants of files that are left out, used by files that stay. */
const SCALER_CONSTANTS = `package scalers

const (
	externalMetricType = "External"
	stringEnable       = "enable"
	stringDisable      = "disable"
)
`
const SCALER_FILES = ['cpu_memory', 'cron', 'prometheus', 'redis', 'redis_streams']

const sources = join(import.meta.dirname, 'go')

/** The folder of this build: its name changes with the sources and the versions. */
const folder: string = (() => {
  const hash = createHash('sha256')
  for (const path of readdirSync(sources).sort()) hash.update(readFileSync(join(sources, path)))
  hash.update(JSON.stringify([KUBERNETES, KEDA, HELM, PROMETHEUS_OPERATOR, SCALERS]))
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache')
  return join(cache, 'reembed', `cluster-${hash.digest('hex').slice(0, 12)}`)
})()

export const binaries: Readonly<
  Record<'kube' | 'helm' | 'kedaOperator' | 'kedaAdapter' | 'kedaWebhooks', string>
> = {
  kube: join(folder, 'kube'),
  helm: join(folder, 'helm'),
  kedaOperator: join(folder, 'keda-operator'),
  kedaAdapter: join(folder, 'keda-adapter'),
  kedaWebhooks: join(folder, 'keda-webhooks'),
}

/** Manifests of KEDA (`crd`, `rbac`, `webhooks`, ...) and the CRDs of the Prometheus operator. */
export const kedaConfig: string = join(folder, 'keda-config')
export const prometheusCrds: string = join(folder, 'prometheus-crds')

/** Why no cluster can be started here, or undefined. */
export const noCluster: string | undefined =
  process.platform !== 'linux'
    ? 'the cluster needs Linux'
    : process.getuid?.() !== 0
      ? 'the cluster needs root, for the mount namespaces of its pods'
      : (missing(['unshare', 'setpriv', 'openssl', 'redis-server']) ??
        unbuilt([binaries.kube, binaries.helm, kedaConfig, prometheusCrds]))

/** Why no KEDA can be started here, or undefined. */
export const noKeda: string | undefined =
  noCluster ?? unbuilt([binaries.kedaOperator, binaries.kedaAdapter, binaries.kedaWebhooks])

function missing(programs: readonly string[]): string | undefined {
  const absent = programs.filter(program => !onPath(program))
  return absent.length === 0 ? undefined : `PATH has no ${absent.join(', ')}`
}

function unbuilt(files: readonly string[]): string | undefined {
  if (files.every(file => existsSync(file))) return undefined
  const remedy = onPath('go') ? 'run `npm run cluster -- build`' : 'PATH has no go command'
  return `${files
    .filter(file => !existsSync(file))
    .map(file => basename(file))
    .join(', ')} not built: ${remedy}`
}

/**
 * Builds what is missing. Go downloads the modules and caches compiled packages, so an interrupted
 * build continues.
 * @throws if PATH has no go command, or a build fails
 */
export async function build(report: (line: string) => void): Promise<void> {
  if (!onPath('go')) throw new Error('PATH has no go command; install Go 1.26')
  await mkdir(folder, { recursive: true })
  const work = join(folder, 'src')
  const step = async (output: string, make: () => Promise<void>): Promise<void> => {
    if (existsSync(output)) return
    const started = Date.now()
    report(`${basename(output)} ...`)
    await make()
    report(`${basename(output)}: ${Math.round((Date.now() - started) / 1000)} s`)
  }

  await step(prometheusCrds, async () => {
    const module = await download(PROMETHEUS_OPERATOR)
    await copy(join(module, 'example/prometheus-operator-crd'), prometheusCrds)
  })
  await step(kedaConfig, async () => {
    await copy(join(await download(KEDA), 'config'), kedaConfig)
  })
  await step(binaries.helm, async () => {
    await copy(await download(HELM), join(work, 'helm'))
    await goBuild(join(work, 'helm'), './cmd/helm', binaries.helm)
  })
  await step(binaries.kube, async () => {
    await copy(sources, join(work, 'kube'))
    const [major, minor] = KUBERNETES.slice(1).split('.')
    await goBuild(join(work, 'kube'), '.', binaries.kube, {
      gitVersion: KUBERNETES,
      gitMajor: String(major),
      gitMinor: String(minor),
    })
  })
  await step(binaries.kedaWebhooks, async () => {
    const keda = join(work, 'keda')
    await copy(await download(KEDA), keda)
    await removeScalers(keda)
    for (const [program, path] of [
      ['operator', binaries.kedaOperator],
      ['adapter', binaries.kedaAdapter],
      ['webhooks', binaries.kedaWebhooks],
    ] as const) {
      await goBuild(keda, `./cmd/${program}`, path)
    }
  })
  await rm(work, { recursive: true, force: true })
}

/** Downloads a module and returns its folder in Go's read-only module cache. */
async function download(module: string): Promise<string> {
  const { stdout } = await run('go', ['mod', 'download', '-json', module], { cwd: '/' })
  return JSON.parse(stdout).Dir
}

/** Copies a folder, writable. */
async function copy(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true })
  await cp(from, to, { recursive: true })
  for (const one of await readdir(to, { recursive: true, withFileTypes: true })) {
    await chmod(join(one.parentPath, one.name), one.isDirectory() ? 0o755 : 0o644)
  }
}

async function goBuild(
  cwd: string,
  program: string,
  output: string,
  version: Readonly<Record<string, string>> = {},
): Promise<void> {
  const stamps = Object.entries(version).map(
    ([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`,
  )
  const partial = `${output}.partial`
  await run(
    'go',
    ['build', '-mod=mod', '-trimpath', '-ldflags', ['-s -w', ...stamps].join(' '), '-o', partial, program],
    { cwd, env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false' }, maxBuffer: 1 << 28 },
  )
  await rename(partial, output)
}

/** Leaves out the scalers that the chart does not use, from their list and from their package. */
async function removeScalers(keda: string): Promise<void> {
  const list = join(keda, 'pkg/scaling/scalers_builder.go')
  const text = await readFile(list, 'utf8')
  const kept = text.replace(/\tcase "([^"]+)":\n(?:\t\t.*\n|\t\/\/.*\n)*/g, (branch, name) =>
    SCALERS.includes(name) ? branch : '',
  )
  const missing = SCALERS.filter(name => !kept.includes(`case "${name}":`))
  if (missing.length > 0) throw new Error(`${list} has no scaler ${missing.join(', ')}`)
  await writeFile(list, kept)
  const scalers = join(keda, 'pkg/scalers')
  for (const name of await readdir(scalers)) {
    const [, scaler] = /^(\w+)_scaler(?:_test)?\.go$/.exec(name) ?? []
    if (scaler !== undefined && !(SCALER_FILES.includes(scaler) && !name.endsWith('_test.go'))) {
      await rm(join(scalers, name))
    }
  }
  await writeFile(join(scalers, 'constants.go'), SCALER_CONSTANTS)
}
