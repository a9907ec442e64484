// reembed.yaml seen from outside: found in the working folder, beaten by environment and flags, and
// written by init.

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createHashEngine, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { documents, reembed, temporaryFolder, writeJsonl } from './parts/cli.ts'

let tei: TeiServer
let folder: Awaited<ReturnType<typeof temporaryFolder>>
let file: string

beforeAll(async () => {
  tei = await serveTei({ engine: createHashEngine({ dimensions: 8 }) })
  folder = await temporaryFolder()
  await mkdir(join(folder.path, 'corpus'))
  await writeJsonl(join(folder.path, 'corpus', 'a.jsonl'), documents(20))
  file = join(folder.path, 'reembed.yaml')
})
afterAll(async () => {
  await Promise.all([tei[Symbol.asyncDispose](), folder[Symbol.asyncDispose]()])
})

const originsOf = (stdout: string): Record<string, [unknown, string]> =>
  Object.fromEntries(
    JSON.parse(stdout).values.map(
      ({ key, value, origin }: { key: string; value: unknown; origin: string }) => [key, [value, origin]],
    ),
  )

test('init sniffs the corpus and writes a file with which `run` needs no flag; a second init leaves it alone', async () => {
  const wrote = await reembed(['init', '--source', 'corpus', '--endpoint', tei.url], {}, folder.path)
  expect(wrote).toMatchObject({ code: 0 })
  expect(wrote.stderr).toMatch(/1 object, .* about 20 documents/)
  expect(await readFile(file, 'utf8')).toMatch(/uri: \.\/corpus\n {2}id: id\n {2}text: text\n/)

  await using redis = await startRedis()
  const env = { REDIS_URL: redis.url }
  const ran = await reembed(['run', '--json'], env, folder.path)
  expect(ran.code, ran.stderr).toBe(0)
  expect(JSON.parse(ran.stdout)).toMatchObject({ status: 'published', totals: { rows: 20 } })
  // From another folder, with --config: paths are meant from where the file lies.
  const again = await reembed(['run', '--json', '--config', file], env)
  expect(JSON.parse(again.stdout)).toMatchObject({ status: 'already_current' })

  const twice = await reembed(['init', '--source', 'corpus'], {}, folder.path)
  expect(twice).toMatchObject({
    code: 2,
    stderr: 'reembed: reembed.yaml already exists: edit it, or give another file with --config\n',
  })
})

test('flag beats environment beats file beats default, and config tells which it was, with secrets masked', async () => {
  const other = join(folder.path, 'other.yaml')
  await writeFile(
    other,
    `version: 1
source: { uri: corpus, id: fileid, text: filetext }
worker: { concurrency: 2 }
limits: { max_rejects: 5 }
endpoint: { url: "http://\${TEI_HOST:-unset}:80", token: "\${MY_TOKEN}" }
`,
  )
  const { code, stdout, stderr } = await reembed(
    ['config', '--json', '--config', other, '--id', 'flagid', '--redis', 'redis://me:hunter2@r:1'],
    {
      REEMBED_CONCURRENCY: '7',
      TEI_HOST: 'tei',
      MY_TOKEN: 'hf_verysecret',
    },
  )
  expect(code, stderr).toBe(0)
  expect(originsOf(stdout)).toMatchObject({
    'source.id': ['flagid', 'flag --id'],
    'source.text': ['filetext', `${other}:2`],
    'source.uri': [join(folder.path, 'corpus'), `${other}:2`],
    'worker.concurrency': [7, 'environment REEMBED_CONCURRENCY'],
    'limits.max_rejects': ['5', `${other}:4`],
    'endpoint.url': ['http://tei:80', `${other}:5`],
    'endpoint.token': ['***', `${other}:5`],
    'model.prompt': ['', 'default'],
    'queue.redis': ['redis://me:***@r:1', 'flag --redis'],
  })
  expect(stdout).not.toMatch(/hunter2|verysecret/)
})

test('every command exits with code 2 when the file has a mistake, also a command that does not use the key', async () => {
  const broken = join(folder.path, 'broken.yaml')
  await writeFile(broken, 'version: 1\nmodel:\n  promt: "x"\n')
  const { code, stderr } = await reembed(['ls', '--output', folder.path, '--config', broken])
  expect(code).toBe(2)
  expect(stderr).toBe(`reembed: ${broken}:3: unknown key 'model.promt' (did you mean 'model.prompt'?)\n`)
})

test('an unset variable is an error only for the commands that use it', async () => {
  const partly = join(folder.path, 'partly.yaml')
  await writeFile(
    partly,
    `version: 1\noutput: { uri: ${join(folder.path, 'vectors')} }\nqueue: { redis: "\${NOT_SET}" }\n`,
  )
  expect((await reembed(['ls', '--config', partly])).code).toBe(0)
  const { code, stderr } = await reembed(['status', '--config', partly])
  expect(code).toBe(2)
  expect(stderr).toBe(`reembed: ${partly}:3: the environment variable NOT_SET is not set\n`)
})
