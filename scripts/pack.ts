// Packs every package of the workspace as it would be published, after a build.
//
//   node scripts/pack.ts FOLDER     writes FOLDER/<name>-<version>.tgz, prints one line a package

import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))

export interface PackedPackage {
  readonly name: string
  readonly version: string
  /** Its folder below packages/. */
  readonly folder: string
  /** The tarball. */
  readonly file: string
}

/**
 * Without pnpm's own check of node_modules, which would install packages in the middle of a build.
 */
const env = { ...process.env, TURBO_TELEMETRY_DISABLED: '1', pnpm_config_verify_deps_before_run: 'false' }

/** Packs all packages into a folder. */
export function packAll(into: string): PackedPackage[] {
  mkdirSync(into, { recursive: true })
  return readdirSync(join(root, 'packages'))
    .sort()
    .map(folder => {
      const cwd = join(root, 'packages', folder)
      const { name, version } = JSON.parse(readFileSync(join(cwd, 'package.json'), 'utf8'))
      const file = join(into, `${name.replace('@', '').replace('/', '-')}-${version}.tgz`)
      const packed = spawnSync('pnpm', ['pack', '--out', file], { cwd, env, encoding: 'utf8' })
      if (packed.status !== 0)
        throw new Error(`pnpm pack failed in ${cwd}:\n${packed.stdout}${packed.stderr}`)
      return { name, version, folder, file }
    })
}

/**
 * Builds all packages; turbo restores what has not changed. The files of deleted sources must not
 * be packed.
 */
export function build(): void {
  for (const folder of readdirSync(join(root, 'packages')))
    rmSync(join(root, 'packages', folder, 'dist'), { recursive: true, force: true })
  const built = spawnSync('turbo', ['run', 'build', '--output-logs=errors-only'], {
    cwd: root,
    env,
    encoding: 'utf8',
  })
  if (built.status !== 0) throw new Error(`the build failed:\n${built.stdout}${built.stderr}`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const into = process.argv[2]
  if (into === undefined) {
    process.stderr.write('usage: node scripts/pack.ts FOLDER\n')
    process.exit(2)
  }
  build()
  for (const { name, file } of packAll(resolve(into))) {
    process.stdout.write(
      `${name.padEnd(20)} ${(statSync(file).size / 1024).toFixed(0).padStart(6)} KiB  ${file}\n`,
    )
  }
}
