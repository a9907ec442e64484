// The packages as a user installs them: packed, installed by npm into an empty folder, outside the
// workspace. The packages of reembed come from tarballs; the others from npm's cache where it holds
// them, else from the registry.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startRedis } from '@reembed/local'
import { startFakeTei } from '@reembed/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { build, packAll } from '../scripts/pack.ts'
import { temporaryFolder } from './parts/cli.ts'

const ROOT = fileURLToPath(new URL('../', import.meta.url))
const MINUTES = 60_000
/**
 * Keeps proxies and certificates, which npm needs; removes what the workspace sets for its own
 * processes.
 */
const OUTSIDE = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^(REEMBED_|AWS_|HF_|REDIS_URL|NODE_OPTIONS|VITEST)/.test(name),
  ),
)
/** The programs of a README. */
const README_PROGRAM = /```ts\n([\s\S]*?)```/g
/** The programs of doc comments. */
const EXAMPLE_PROGRAM = /@example\s*\n *\* *```ts\n([\s\S]*?)^ *\* *```/gm

interface Installed {
  readonly folder: string
  readonly packages: ReadonlySet<string>
  readonly megabytes: number
}

const stack = new AsyncDisposableStack()
let root: string
let tarballs: Map<string, { readonly file: string; readonly needs: readonly string[] }>

beforeAll(async () => {
  root = stack.use(await temporaryFolder()).path
  build()
  tarballs = new Map()
  for (const { name, folder, file } of packAll(join(root, 'packed'))) {
    const manifest = JSON.parse(await readFile(join(ROOT, 'packages', folder, 'package.json'), 'utf8'))
    tarballs.set(name, { file, needs: Object.keys(manifest.dependencies ?? {}) })
  }
}, 10 * MINUTES)
afterAll(() => stack.disposeAsync())

/** Runs a program to its end and returns what it printed. */
async function run(
  command: string,
  args: readonly string[],
  { cwd, env = {} }: { readonly cwd: string; readonly env?: Record<string, string> },
): Promise<string> {
  const child = spawn(command, args, {
    cwd,
    env: { ...OUTSIDE, npm_config_cache: join(ROOT, '.cache', 'npm'), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', data => {
    stdout += data
  })
  child.stderr.on('data', data => {
    stderr += data
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}:\n${stdout}${stderr}`)
  return stdout
}

/** The packages of reembed that these need, themselves included. */
function closureOf(names: readonly string[]): Set<string> {
  const all = new Set<string>()
  const add = (name: string): void => {
    const tarball = tarballs.get(name)
    if (!tarball || all.has(name)) return
    all.add(name)
    tarball.needs.forEach(add)
  }
  names.forEach(add)
  return all
}

async function install(...names: readonly string[]): Promise<Installed> {
  const folder = await mkdtemp(join(root, 'installed-'))
  await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  const files = [...closureOf(names)].map(name => tarballs.get(name)?.file ?? '')
  const flags = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  await run('npm', ['install', ...flags, ...files], { cwd: folder })
  const listed = JSON.parse(await readFile(join(folder, 'node_modules', '.package-lock.json'), 'utf8'))
  const paths = Object.keys(listed.packages)
  const megabytes = (await bytesOf(join(folder, 'node_modules'))) / 1e6
  process.stdout.write(
    `installed ${names.join(', ')}: ${paths.length} packages, ${megabytes.toFixed(1)} MB\n`,
  )
  return { folder, packages: new Set(paths.map(path => path.split('node_modules/').at(-1) ?? '')), megabytes }
}

async function bytesOf(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter(entry => entry.isFile())
  const sizes = await Promise.all(files.map(({ parentPath, name }) => stat(join(parentPath, name))))
  return sizes.reduce((sum, { size }) => sum + size, 0)
}

test(
  'reading alone installs no Redis client, logger, CSV reader, tokenizer or Arrow',
  async () => {
    const { folder, packages, megabytes } = await install('@reembed/shard')
    for (const name of ['bullmq', 'ioredis', 'pino', '@huggingface/tokenizers', 'apache-arrow', 'undici'])
      expect(packages, name).not.toContain(name)
    expect(packages.size).toBeLessThanOrEqual(35)
    expect(megabytes).toBeLessThanOrEqual(15)
    const program = "import { readEmbeddings } from '@reembed/shard'; console.log(typeof readEmbeddings)"
    expect(await run('node', ['--input-type=module', '-e', program], { cwd: folder })).toBe('function\n')
  },
  5 * MINUTES,
)

test(
  'a worker installs without the command, the local model and its runtime',
  async () => {
    const { packages } = await install('@reembed/worker')
    expect(packages).toContain('bullmq')
    for (const name of ['commander', '@reembed/local', 'onnxruntime-node'])
      expect(packages, name).not.toContain(name)
  },
  5 * MINUTES,
)

test(
  'the installed command, SDK and types work outside the workspace',
  async () => {
    await using redis = await startRedis()
    await using tei = await startFakeTei()
    const { folder, packages } = await install('reembed')
    expect(packages).not.toContain('@reembed/local')
    expect(packages).not.toContain('onnxruntime-node')
    const { version } = JSON.parse(await readFile(join(ROOT, 'packages/reembed/package.json'), 'utf8'))
    const command = join(folder, 'node_modules', '.bin', 'reembed')
    expect(await run(command, ['--version'], { cwd: folder })).toBe(`${version}\n`)

    await mkdir(join(folder, 'docs'))
    await writeFile(join(folder, 'docs', 'a.txt'), 'a text')
    const urls = ['--endpoint', tei.url, '--redis', redis.url]
    await run(command, ['run', '--source', './docs', '--output', './vectors', ...urls], { cwd: folder })
    expect(await run(command, ['verify', '--output', './vectors'], { cwd: folder })).toContain('verified')

    await cp(join(ROOT, 'examples'), folder, {
      recursive: true,
      filter: path => !path.includes('node_modules') && !path.endsWith('package.json'),
    })
    await mkdir(join(folder, 'products'))
    const product = { sku: 'A-1', title: 'Kettle', body: 'Boils water.', shop: { lang: 'en' }, year: 2019 }
    await writeFile(join(folder, 'products', 'products.jsonl'), JSON.stringify(product))
    const env = { OUTPUT: './product-vectors', REDIS_URL: redis.url, ENDPOINT: tei.url }
    expect(await run('node', ['field-mapping.ts'], { cwd: folder, env })).toContain('A-1')
    expect(await run('node', ['float32array.ts'], { cwd: folder, env })).toMatch(/^1 vectors of/)
  },
  10 * MINUTES,
)

test(
  'without the optional package a missing endpoint is refused with the fix',
  async () => {
    const { folder } = await install('reembed')
    await mkdir(join(folder, 'docs'))
    await writeFile(join(folder, 'docs', 'a.txt'), 'a text')
    const command = join(folder, 'node_modules', '.bin', 'reembed')
    const failed = run(command, ['run', '--source', './docs', '--output', './other'], { cwd: folder })
    await expect(failed).rejects.toThrow(/ended with 2:[\s\S]*the package @reembed\/local is not installed/)
  },
  5 * MINUTES,
)

test(
  'every README example, @example and example program compiles against the installed packages',
  async () => {
    const { folder } = await install(...tarballs.keys())
    const readmes = await readdir(join(ROOT, 'packages'))
    for (const name of readmes) {
      const text = await readFile(join(ROOT, 'packages', name, 'README.md'), 'utf8')
      for (const [index, [, program = '']] of [...text.matchAll(README_PROGRAM)].entries())
        await writeFile(join(folder, `readme-${name}-${index}.ts`), program)
      for (const path of await readdir(join(ROOT, 'packages', name, 'src'), { recursive: true })) {
        if (!path.endsWith('.ts')) continue
        const source = await readFile(join(ROOT, 'packages', name, 'src', path), 'utf8')
        const file = `example-${name}-${path.replaceAll('/', '-').slice(0, -'.ts'.length)}`
        for (const [index, [, program = '']] of [...source.matchAll(EXAMPLE_PROGRAM)].entries())
          await writeFile(join(folder, `${file}-${index}.ts`), program.replaceAll(/^ *\* ?/gm, ''))
      }
    }
    for (const name of await readdir(join(ROOT, 'examples')))
      if (name.endsWith('.ts') && name !== 'duckdb.ts')
        await cp(join(ROOT, 'examples', name), join(folder, name))
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(CONSUMER_CONFIG))
    await run(join(ROOT, 'node_modules', '.bin', 'tsc'), ['-p', '.', '--pretty', 'false'], { cwd: folder })
  },
  10 * MINUTES,
)

const CONSUMER_CONFIG = {
  compilerOptions: {
    target: 'esnext',
    lib: ['esnext'],
    module: 'nodenext',
    strict: true,
    noEmit: true,
    types: ['node'],
    typeRoots: [join(ROOT, 'node_modules', '@types')],
  },
  include: ['*.ts'],
}
