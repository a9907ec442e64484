// Installs what `npm run demo` and `npm test` need: the packages of the lock file, Node 24, a Redis
// server. Runs on Node 20, prints each step, and takes a fraction of a second when everything is
// installed. Only the Redis server, from the system's package manager, is outside this folder.

import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const PNPM = 'pnpm@12.21.0'
const NODE_MAJOR = 24
const root = fileURLToPath(new URL('..', import.meta.url))
const bin = join(root, 'node_modules', '.bin')

const say = text => process.stderr.write(`setup: ${text}\n`)
const stop = text => {
  say(text)
  process.exit(1)
}
const onPath = (name, path = process.env.PATH ?? '') =>
  path.split(delimiter).some(folder => {
    try {
      accessSync(join(folder, name), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
const run = (command, args, options = {}) =>
  spawnSync(command, args, { stdio: ['ignore', 2, 2], cwd: root, ...options }).status === 0

installPackages()
checkNode()
installRedis()

/**
 * Installs the locked packages when the lock file or a package.json differs from what was installed
 * last.
 */
function installPackages() {
  const stamp = join(root, 'node_modules', '.reembed-setup')
  const wanted = fingerprint()
  if (read(stamp) === wanted) return
  say(`installing packages with ${PNPM} (about 250 MB on first use)`)
  const cache = join(root, '.cache')
  mkdirSync(join(cache, 'tmp'), { recursive: true })
  const started = Date.now()
  const installed = run(
    'npx',
    ['-y', PNPM, 'install', '--frozen-lockfile', '--reporter=append-only', '--loglevel=error'],
    {
      env: { ...process.env, npm_config_cache: join(cache, 'npm'), TMPDIR: join(cache, 'tmp'), CI: 'true' },
    },
  )
  if (!installed)
    stop(`could not install the packages; read the lines above, then try: npx -y ${PNPM} install`)
  writeFileSync(stamp, wanted)
  say(`packages are installed (${Math.round((Date.now() - started) / 1000)} s)`)
}

/** What the installed packages depend on: the lock file and every package.json of the workspace. */
function fingerprint() {
  const manifests = [
    'package.json',
    'pnpm-workspace.yaml',
    'pnpm-lock.yaml',
    'examples/package.json',
    'test/package.json',
    'bench/package.json',
    'infra/package.json',
  ]
  for (const name of readdirSync(join(root, 'packages'))) manifests.push(`packages/${name}/package.json`)
  const hash = createHash('sha256')
  for (const name of manifests) hash.update(`${name}\n${read(join(root, name))}\n`)
  return hash.digest('hex')
}

/** Node 24 comes as a package on Linux; elsewhere the machine's own must do. */
function checkNode() {
  if (onPath('node', bin) || Number(process.versions.node.split('.')[0]) >= NODE_MAJOR) return
  stop(
    `Node ${process.versions.node} is too old here: install Node ${NODE_MAJOR} or newer, then run this again`,
  )
}

/**
 * Installs a Redis server with the system's package manager if it may; else says the one line to
 * type.
 */
function installRedis() {
  if (onPath('redis-server') || onPath('valkey-server')) return
  const managers = [
    {
      name: 'apt-get',
      steps: [
        ['update', '-qq'],
        ['install', '-y', '-qq', '--no-install-recommends', 'redis-server'],
      ],
    },
    { name: 'dnf', steps: [['install', '-y', '-q', 'valkey']] },
    { name: 'apk', steps: [['add', '-q', 'redis']] },
    { name: 'brew', steps: [['install', '-q', 'redis']], user: true },
  ]
  const manager = managers.find(({ name }) => onPath(name))
  if (!manager) stop('no redis-server on PATH: install Redis 6.2 or newer (or Valkey), then run this again')
  const line = manager.steps
    .map(step => `${manager.user ? '' : 'sudo '}${manager.name} ${step.join(' ')}`)
    .join(' && ')
  const root = process.getuid?.() === 0
  if (!root && !manager.user && !run('sudo', ['-n', 'true'], { stdio: 'ignore' })) {
    stop(`no redis-server on PATH; type this, then run again:\n  ${line}`)
  }
  say(`installing redis-server with ${manager.name}`)
  for (const step of manager.steps) {
    const [command, args] =
      root || manager.user ? [manager.name, step] : ['sudo', ['-n', manager.name, ...step]]
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    if (!run(command, args, { env }))
      stop(`could not install redis-server; type this, then run again:\n  ${line}`)
  }
  if (!onPath('redis-server') && !onPath('valkey-server'))
    stop('redis-server was installed but is not on PATH')
  say('redis-server is installed')
}

function read(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
