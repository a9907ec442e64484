// Manifests against the types of their kinds, strictly: each becomes a literal that must satisfy
// its interface, so that tsc finds a misspelt key wherever it stands.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Manifest, repository } from './chart.ts'
import { tool } from './tools.ts'

const moduleOf = (apiVersion: string): string => {
  if (apiVersion.startsWith('keda.sh/')) return `@kubernetes-models/keda/${apiVersion}`
  if (apiVersion.startsWith('monitoring.coreos.com/'))
    return `@kubernetes-models/prometheus-operator/${apiVersion}`
  return `kubernetes-models/${apiVersion}`
}

/** What tsc has against these manifests, one line each: `line: message`. */
export async function typeErrors(manifests: readonly Manifest[]): Promise<string[]> {
  // Beside the packages that hold the types; a folder with a dot is not looked into by anybody
  // else.
  const folder = join(repository, 'test/.cache')
  await mkdir(folder, { recursive: true })
  const lines = manifests.map(
    (manifest, i) =>
      `import type { I${manifest.kind} as K${i} } from '${moduleOf(manifest.apiVersion)}'\nexport const m${i} = ${JSON.stringify(manifest, null, 1)} satisfies K${i}\n`,
  )
  const file = join(folder, `manifests-${process.pid}.ts`)
  await writeFile(file, lines.join('\n'))
  const { stdout } = tool(
    join(repository, 'node_modules/.bin/tsc'),
    [
      '--noEmit',
      '--strict',
      '--ignoreConfig',
      '--module',
      'nodenext',
      '--target',
      'esnext',
      '--skipLibCheck',
      '--types',
      '',
      file,
    ],
    { cwd: repository },
  )
  return stdout.split('\n').filter(line => line.includes('error TS'))
}
