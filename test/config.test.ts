// reembed.yaml seen from outside: found in the working folder, beaten by environment and flags, and
// written by init.

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createHashEngine, serveTei, startRedis, type TeiServer } from '@reembed/local'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { documents, flags, reembed, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'

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

test('init writes every option that it was given, so that config shows them all, and refuses what belongs to one call', async () => {
  const given = join(folder.path, 'given.yaml')
  const wrote = await inProcess([
    'init',
    ...flags({
      config: given,
      source: join(folder.path, 'corpus'),
      output: join(folder.path, 'vectors'),
      template: '{{ id }}\\n${text}',
      carry: 'text',
      'max-truncated': '1%',
      'chunk-tokens': '64',
      gate: 'rows drop 5%',
      redis: 'redis://me:hunter2@r:1',
      concurrency: '2',
      dtype: 'float16',
    }),
    '--no-reuse',
  ])
  expect(wrote.stderr).toContain(`wrote ${given}`)
  const { stdout } = await inProcess(['config', '--json', '--config', given], {
    REDIS_URL: 'redis://me:pw@r:1',
  })
  expect(originsOf(stdout)).toMatchObject({
    'source.uri': [join(folder.path, 'corpus'), expect.stringMatching(/given\.yaml:\d+/)],
    'source.template': ['{{ id }}\n${text}', expect.anything()],
    'source.carry': [['text'], expect.anything()],
    'source.chunk_tokens': [64, expect.anything()],
    'limits.max_truncated': ['1%', expect.anything()],
    'gates.hold': [['rows drop 5%'], expect.anything()],
    'worker.concurrency': [2, expect.anything()],
    'output.dtype': ['float16', expect.anything()],
    'output.reuse': [false, expect.anything()],
  })
  expect(await readFile(given, 'utf8')).not.toContain('hunter2')

  const refused = await inProcess([
    'init',
    ...flags({
      config: join(folder.path, 'other-call.yaml'),
      source: join(folder.path, 'corpus'),
      'reuse-from': 'abc',
    }),
  ])
  expect(refused).toMatchObject({
    code: 2,
    stderr:
      'reembed: --reuse-from belongs to one call and cannot be in a file: leave it out here, and give it to `reembed run`\n',
  })
})

test('config --check lists every fault of a file, schedules, gates and budget included', async () => {
  const checked = join(folder.path, 'checked.yaml')
  const text = (gate: string, cron: string, price: string): string =>
    `version: 1
source: { uri: corpus, template: "{{ text" }
gates: { hold: ["${gate}"] }
limits: { max_cost: 5 }
${price}schedules:
  - { name: nightly, cron: "${cron}" }
`
  await writeFile(checked, text('rowz drop 5%', '99 3 * * *', ''))
  const bad = await inProcess(['config', '--check', '--json', '--config', checked])
  expect(bad.code).toBe(2)
  expect(JSON.parse(bad.stdout).faults).toEqual([
    expect.stringMatching(/checked\.yaml:6: schedule 'nightly': '99 3 \* \* \*' is not a cron expression/),
    expect.stringContaining("'rowz drop 5%' is not a valid gate"),
    expect.stringContaining('{{ text'),
    expect.stringMatching(/a maximum cost of \$5 needs a price.*\(--price-per-hour\)/),
  ])
  const good = text('rows drop 5%', '0 3 * * *', 'endpoint: { price_per_hour: 1 }\n').replace(
    '{{ text"',
    '{{ text }}"',
  )
  await writeFile(checked, good)
  expect(await inProcess(['config', '--check', '--config', checked])).toMatchObject({
    code: 0,
    stdout: `${checked}: valid, with 1 schedule and 1 gate\n`,
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
  expect((await reembed(['versions', '--config', partly])).code).toBe(0)
  const { code, stderr } = await reembed(['status', '--config', partly])
  expect(code).toBe(2)
  expect(stderr).toBe(`reembed: ${partly}:3: the environment variable NOT_SET is not set\n`)
})
