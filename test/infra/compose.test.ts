// The compose file, and the S3 policies.

import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { testUnless } from '../parts/needs.ts'
import { type Manifest, repository } from './parts/chart.ts'
import { noPromtool, promtool } from './parts/promtool.ts'
import { testWith, tool } from './parts/tools.ts'

const folder = join(repository, 'infra/compose')
const compose: Manifest = parse(await readFile(join(folder, 'compose.yaml'), 'utf8'), { merge: true })
const services = Object.entries<Manifest>(compose.services)

test('every image has a version, every port is on loopback, and reembed containers have a read-only root', () => {
  for (const [name, service] of services) {
    expect([name, service.image]).toEqual([
      name,
      expect.stringMatching(/:(\$\{\w+:-)?[\w-]*\d[\w.-]*\}?$|:dev$/),
    ])
    for (const port of service.ports ?? []) expect(port).toMatch(/^127\.0\.0\.1:/)
    if (service.image !== 'reembed:dev') continue
    expect(service).toMatchObject({ read_only: true, cap_drop: ['ALL'] })
    expect(Number.parseInt(service.stop_grace_period, 10)).toBeGreaterThan(
      Number(service.environment.REEMBED_DRAIN_SECONDS) + 10,
    )
  }
})

test('every mounted file exists', async () => {
  for (const [, { volumes = [] }] of services) {
    for (const volume of volumes) {
      const [from] = volume.split(':')
      if (from.startsWith('.'))
        await expect(
          readdir(join(folder, from)).catch(() => readFile(join(folder, from))),
        ).resolves.toBeDefined()
      else expect(Object.keys(compose.volumes)).toContain(from)
    }
  }
})

test('the linter reports no problem', () => {
  const lint = join(repository, 'test/node_modules/.bin/dclint')
  // The rules about the order of keys are off: keys are ordered by importance.
  const off = [
    'service-keys-order',
    'services-alphabetical-order',
    'service-dependencies-alphabetical-order',
    'no-build-and-image',
    'require-quotes-in-ports',
  ].flatMap(rule => ['--disable-rule', rule])
  const { stdout, stderr, status } = tool(lint, [join(folder, 'compose.yaml'), ...off])
  expect([status, `${stdout}${stderr}`.trim()]).toEqual([0, ''])
})

testWith('docker-compose', 'compose itself accepts it, and refuses a misspelt key', async () => {
  const config = (path: string) => tool('docker-compose', ['-f', path, '--profile', '*', 'config', '-q'])
  expect(config(join(folder, 'compose.yaml'))).toMatchObject({ status: 0, stderr: '' })
  const place = await mkdtemp(join(tmpdir(), 'reembed-test-'))
  const text = await readFile(join(folder, 'compose.yaml'), 'utf8')
  await writeFile(join(place, 'compose.yaml'), text.replace('read_only: true', 'readonly: true'))
  expect(config(join(place, 'compose.yaml')).stderr).toMatch(/readonly/)
  await rm(place, { recursive: true })
})

testUnless(noPromtool, 'Prometheus accepts its configuration, rules included', async () => {
  const place = await mkdtemp(join(tmpdir(), 'reembed-test-'))
  for (const [from, to] of [
    ['compose/prometheus.yml', 'prometheus.yml'],
    ['helm/reembed/files/rules.yaml', 'rules.yaml'],
  ] as const)
    await writeFile(join(place, to), await readFile(join(repository, 'infra', from)))
  const { status, stdout, stderr } = tool(promtool ?? '', ['check', 'config', join(place, 'prometheus.yml')])
  expect([status, `${stdout}${stderr}`]).toEqual([0, expect.stringContaining('SUCCESS')])
  await rm(place, { recursive: true })
})

test('the role policies allow get, list and put, but no delete and no other resource', async () => {
  for (const name of ['worker-policy.json', 'reader-policy.json']) {
    const { Statement } = JSON.parse(await readFile(join(repository, 'infra/s3', name), 'utf8'))
    const actions = new Set(Statement.flatMap(({ Action }: Manifest) => Action))
    const needed = ['s3:GetObject', 's3:ListBucket', ...(name.startsWith('worker') ? ['s3:PutObject'] : [])]
    expect([...actions].sort()).toEqual(needed)
    for (const { Effect, Resource, Sid } of Statement) {
      expect(Effect).toBe('Allow')
      for (const resource of [Resource].flat())
        expect(resource).toMatch(/^arn:aws:s3:::(CORPUS|VECTOR)_BUCKET/)
      if (Sid === 'PutVectors') expect(Resource).toBe('arn:aws:s3:::VECTOR_BUCKET/VECTOR_PREFIX/*')
    }
  }
})

test('reembed makes no S3 call that the worker policy does not allow', async () => {
  const code = await readFile(join(repository, 'packages/store/src/s3.ts'), 'utf8')
  const calls = new Set(code.match(/new (\w+)Command\(/g))
  expect([...calls].sort()).toEqual([
    // s3:GetObject of the source and s3:PutObject of the copy.
    'new CopyObjectCommand(',
    'new GetObjectCommand(',
    'new HeadObjectCommand(',
    'new ListObjectsV2Command(',
    'new PutObjectCommand(',
  ])
  // The bucket policy refuses a put that would overwrite.
  const { Statement } = JSON.parse(await readFile(join(repository, 'infra/s3/bucket-policy.json'), 'utf8'))
  expect(Statement[0]).toMatchObject({ Effect: 'Deny', Condition: { Null: { 's3:if-none-match': 'true' } } })
})

test('no lifecycle rule expires objects: only the gc command removes them', async () => {
  const { Rules } = JSON.parse(await readFile(join(repository, 'infra/s3/lifecycle.json'), 'utf8'))
  for (const { Expiration, NoncurrentVersionExpiration, AbortIncompleteMultipartUpload } of Rules) {
    expect([Expiration, NoncurrentVersionExpiration]).toEqual([undefined, undefined])
    expect(AbortIncompleteMultipartUpload.DaysAfterInitiation).toBeGreaterThan(0)
  }
})
