// The chart: its profiles, values and manifests, and the offline renderer, which needs Go.

import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse, parseAllDocuments, stringify } from 'yaml'
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

const SPRIG = '/usr/share/gocode/src/github.com/Masterminds/sprig'

/**
 * Why the renderer cannot be built, or null. Its libraries are Debian packages; Go modules would
 * need a network.
 */
export const noRenderer: string | null = !onPath('go')
  ? 'PATH has no go command'
  : existsSync(SPRIG)
    ? null
    : 'no golang-github-masterminds-sprig-dev'

let built: Promise<string> | undefined

/** Builds the renderer. The first build takes about a minute. */
async function build(): Promise<string> {
  const cache = join(repository, '.cache')
  const program = join(cache, 'render')
  await mkdir(cache, { recursive: true })
  const { status, stderr } = tool(
    'go',
    ['build', '-o', program, join(repository, 'infra/tools/render/main.go')],
    {
      env: {
        ...process.env,
        GO111MODULE: 'off',
        GOPATH: '/usr/share/gocode',
        GOFLAGS: '',
        GOCACHE: join(cache, 'go'),
      },
    },
  )
  if (status !== 0) throw new Error(stderr)
  return program
}

/** Renders the chart with a profile or with values. Returns the error message on failure. */
export async function render(values: string | Manifest): Promise<{ text: string; failure: string | null }> {
  built ??= build()
  const program = await built
  let path = join(chart, 'ci', `${values}.yaml`)
  if (typeof values !== 'string') {
    path = join(repository, '.cache', `values-${process.pid}.yaml`)
    await writeFile(path, stringify(values))
  }
  const { status, stdout, stderr } = tool(program, [chart, path, 'reembed', 'search'])
  return { text: stdout, failure: status === 0 ? null : stderr.trim() }
}
