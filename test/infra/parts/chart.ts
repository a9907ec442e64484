// The chart: its profiles, values and manifests, rendered by Helm.

import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse, parseAllDocuments, stringify } from 'yaml'
import { binaries } from '../../cluster/binaries.ts'
import { onPath, tool } from './tools.ts'

export const repository: string = fileURLToPath(new URL('../../..', import.meta.url))
export const chart: string = join(repository, 'infra/helm/reembed')

/** A Kubernetes object. */
// biome-ignore lint/suspicious/noExplicitAny: objects of a dozen kinds, checked by tsc in typed.ts
export type Manifest = any

/** The names of the profiles in `ci/`. */
export const profiles: readonly string[] = (await readdir(join(chart, 'ci')))
  .filter(name => name.endsWith('.yaml'))
  .map(name => basename(name, '.yaml'))
  .sort()

export const goldenPath = (profile: string): string => join(repository, 'infra/manifests', `${profile}.yaml`)

export async function readManifests(profile: string): Promise<Manifest[]> {
  return parseManifests(await readFile(goldenPath(profile), 'utf8'))
}

export const parseManifests = (text: string): Manifest[] =>
  parseAllDocuments(text).flatMap(document => (document.errors.length > 0 ? [] : (document.toJS() ?? [])))

/** The values of a profile, merged into the defaults of the chart. */
export async function readValues(profile: string): Promise<Manifest> {
  const own = parse(await readFile(join(chart, 'values.yaml'), 'utf8'))
  return merge(own, parse(await readFile(join(chart, 'ci', `${profile}.yaml`), 'utf8')))
}

function merge(base: Manifest, over: Manifest): Manifest {
  const merged = { ...base }
  for (const [key, value] of Object.entries(over)) {
    if (value === null) delete merged[key]
    else if (isMap(merged[key]) && isMap(value)) merged[key] = merge(merged[key], value)
    else merged[key] = value
  }
  return merged
}

const isMap = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Helm: the one of PATH, or the one that the cluster of test/cluster was built with. */
const helm: string | undefined = onPath('helm')
  ? 'helm'
  : existsSync(binaries.helm)
    ? binaries.helm
    : undefined

/** Why the chart cannot be rendered, or null. */
export const noRenderer: string | null =
  helm === undefined ? 'no helm on PATH; `npm run cluster -- build` builds it' : null

/** The oldest version that Chart.yaml accepts. */
const KUBERNETES = '1.30.0'

/** Renders the chart with a profile or with values. Returns the error message on failure. */
export async function render(values: string | Manifest): Promise<{ text: string; failure: string | null }> {
  let path = join(chart, 'ci', `${values}.yaml`)
  if (typeof values !== 'string') {
    path = join(repository, '.cache', `values-${process.pid}.yaml`)
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, stringify(values))
  }
  const { status, stdout, stderr } = tool(helm ?? 'helm', [
    ...['template', 'reembed', chart, '--values', path, '--namespace', 'search'],
    // The pods of `helm test` belong to Helm.
    ...['--skip-tests', '--kube-version', KUBERNETES],
  ])
  return { text: stdout, failure: status === 0 ? null : stderr.trim() }
}
