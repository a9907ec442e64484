// Builds the image for every platform from one bundle, and pushes it.
//
//   npm run image                                    build for this machine, as reembed:<version>
//   npm run image -- --push ghcr.io/acme/reembed     build for linux/amd64 and linux/arm64, and push
//
// The bundle is the same JavaScript on every platform: the stage that makes it runs once, on the
// platform of the builder, so nothing is emulated.

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    push: { type: 'string' },
    platforms: { type: 'string', default: 'linux/amd64,linux/arm64' },
    target: { type: 'string', default: 'runtime' },
  },
})
const root = join(import.meta.dirname, '..')
const git = (...args) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim()

const { version } = JSON.parse(readFileSync(join(root, 'packages/reembed/package.json'), 'utf8'))
const repository = values.push
if (repository !== undefined && git('status', '--porcelain') !== '') {
  // The label with the commit would not describe the content.
  console.error('image: the working tree has changes that are not committed: commit them, then push')
  process.exit(1)
}

const folder = mkdtempSync(join(tmpdir(), 'reembed-image-'))
const metadata = join(folder, 'metadata.json')
const tag = `${repository ?? 'reembed'}:${version}${values.target === 'debug' ? '-debug' : ''}`
const { status, error } = spawnSync(
  'docker',
  [
    ...['buildx', 'build', '--file', 'infra/docker/Dockerfile', '--target', values.target, '--tag', tag],
    ...['--build-arg', `VERSION=${version}`, '--build-arg', `REVISION=${git('rev-parse', 'HEAD')}`],
    ...['--build-arg', `SOURCE_DATE_EPOCH=${git('log', '-1', '--format=%ct')}`],
    ...['--metadata-file', metadata],
    ...(repository === undefined
      ? ['--load']
      : ['--platform', values.platforms, '--provenance=mode=max', '--sbom=true', '--push']),
    '.',
  ],
  { cwd: root, stdio: 'inherit' },
)
if (error !== undefined) {
  const reason = error.code === 'ENOENT' ? 'PATH has no docker command: install Docker with buildx' : error
  console.error(`image: ${reason}`)
}
if (status === 0) {
  const { 'containerimage.digest': digest } = JSON.parse(readFileSync(metadata, 'utf8'))
  console.log(`${tag}  ${digest}`)
  if (repository !== undefined) {
    console.log(
      `helm upgrade --install reembed infra/helm/reembed --set image.repository=${repository} --set image.digest=${digest} ...`,
    )
  }
}
rmSync(folder, { recursive: true, force: true })
process.exit(status ?? 1)
