// reembed.yaml: one complaint at a time, with file, line and key; the file for editors says what
// the command accepts.

import { readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ReembedError } from '@reembed/shared'
import { expect, test } from 'vitest'
import { applyConfig } from '../src/config/apply.ts'
import { CONFIG_KEYS, FLAG_ONLY_OPTIONS, optionsOf } from '../src/config/config-keys.ts'
import { expand, parseConfigFile } from '../src/config/file.ts'
import { schemaOf, toEditorSchema } from '../src/config/schema.ts'
import { writeFirstConfig } from '../src/config/write.ts'
import { csvDialect, endpointLimits, repeated, textShare } from '../src/options.ts'
import { createProgram } from '../src/program.ts'

const schema = schemaOf(createProgram())
const parse = (text: string) => parseConfigFile(text, 'reembed.yaml', schema)

test('every option has its place in the file, or is named as one that has none', () => {
  const options = optionsOf(createProgram())
  const homeless = [...options.keys()].filter(name => !(name in CONFIG_KEYS) && !FLAG_ONLY_OPTIONS.has(name))
  expect(
    homeless,
    'give each a line in CONFIG_KEYS or FLAG_ONLY_OPTIONS of packages/reembed/src/config/config-keys.ts',
  ).toEqual([])
  expect(Object.keys(CONFIG_KEYS).filter(name => !options.has(name))).toEqual([])
})

test('the committed JSON Schema is the one of this program (`reembed config --schema` prints it)', () => {
  const committed = readFileSync(new URL('../reembed.schema.json', import.meta.url), 'utf8')
  expect(JSON.parse(committed)).toEqual(toEditorSchema(createProgram()))
})

const wrong: readonly (readonly [what: string, text: string, line: string])[] = [
  [
    'an alias of nothing',
    'version: 1\nsource: *elsewhere\n',
    'reembed.yaml: Unresolved alias (the anchor must be set before the alias): elsewhere',
  ],
  [
    'an unknown key',
    'version: 1\nsource:\n  txt: body\n',
    "reembed.yaml:3: unknown key 'source.txt' (did you mean 'source.text'?)",
  ],
  [
    'an unknown section',
    'version: 1\noutptu: {}\n',
    "reembed.yaml:2: unknown key 'outptu' (did you mean 'output'?)",
  ],
  ['a key like no other', 'version: 1\nzebra: 1\n', "reembed.yaml:2: unknown key 'zebra'"],
  [
    'no version',
    'source:\n  uri: x\n',
    "reembed.yaml:1: expected 'version: 1' in the file, the format that this reembed reads",
  ],
  [
    'a wrong choice',
    'version: 1\nsource:\n  uri: x\n  format: docx\n',
    'reembed.yaml:4: \'source.format\' is "docx"; expected',
  ],
  [
    'a wrong number',
    'version: 1\nworker:\n  concurrency: 0\n',
    "reembed.yaml:3: 'worker.concurrency' is 0; expected at least 1",
  ],
  [
    'a value for a section',
    'version: 1\nworker: 5\n',
    "reembed.yaml:2: 'worker' is 5; expected keys below it",
  ],
  ['a key twice', 'version: 1\nsource: {}\nsource: {}\n', 'reembed.yaml:3: Map keys must be unique'],
  ['no YAML', 'version: 1\nsource: [a\n', 'reembed.yaml:3: Flow sequence'],
  [
    'aliases that multiply',
    `version: 1\na: &a [x,x]\n${[...'bcdefghij'].map((name, i) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghij'[i]}`)}]`).join('\n')}`,
    'reembed.yaml: Excessive alias count',
  ],
  ['lists in lists', `version: 1\na: ${'['.repeat(50_000)}`, 'reembed.yaml:2: nested too deeply'],
  [
    'a merge key',
    'version: 1\nx: &x {uri: a}\nsource:\n  <<: *x\n',
    "reembed.yaml:4: unknown key 'source.<<'",
  ],
  ['__proto__', 'version: 1\n__proto__: {polluted: 1}\n', "reembed.yaml:2: unknown key '__proto__'"],
  ['a prototype', 'version: 1\nsource: {__proto__: {uri: x}}\n', "unknown key 'source.__proto__'"],
  ['a key that is a list', 'version: 1\n? [a]\n: 1\n', "unknown key '[ a ]'"],
  ['bytes', 'version: 1\nsource: {uri: !!binary aGk=}\n', 'reembed.yaml:2:'],
  [
    'a second document',
    'version: 1\n---\nversion: 1\n',
    'reembed.yaml:2: Source contains multiple documents',
  ],
  [
    'an infinite number',
    'version: 1\nworker: {concurrency: 1e400}\n',
    "reembed.yaml:2: 'worker.concurrency' is",
  ],
  ['a word', 'hello\n', "reembed.yaml:1: expected keys like 'source:' and 'output:', got \"hello\""],
]

test.for(wrong)('%s is reported with its line', ([, text, line]) => {
  expect(() => parse(text)).toThrow(ReembedError)
  expect(() => parse(text)).toThrow(line)
})

test('the environment fills in values, with a default where one is given, and $${ is a plain ${', () => {
  const env = { HOST: 'tei', EMPTY: '' }
  const fill = (value: string): string => expand(value, 'reembed.yaml:2', env)
  expect(fill('http://${HOST}:${PORT:-8080}/')).toBe('http://tei:8080/')
  expect(fill('${EMPTY:-x}')).toBe('x')
  expect(fill('a $${HOST} b')).toBe('a ${HOST} b')
  expect(() => fill('${NOPE}')).toThrow('reembed.yaml:2: the environment variable NOPE is not set')
  expect(() => fill('${a b}')).toThrow('reembed.yaml:2: ${a b} is not ${NAME} or ${NAME:-otherwise}')
})

/** A value that the parser of the option accepts. */
const valueFor = ({ parseArg }: { readonly parseArg?: unknown }): string | number =>
  parseArg === csvDialect
    ? 'header=no'
    : parseArg === endpointLimits
      ? 'inputs=3'
      : parseArg === textShare
        ? '3%'
        : parseArg && parseArg !== repeated
          ? 3
          : 's3://x/'

test('every key of the schema reaches its option', async () => {
  await using folder = await temporaryFolder()
  const file = join(folder.path, 'reembed.yaml')
  const program = createProgram()
  const command = program.commands.find(one => one.name() === 'config') ?? program
  const expected: Record<string, unknown> = {}
  const sections: Record<string, Record<string, unknown>> = {}
  for (const [name, option] of optionsOf(program)) {
    const [section, key] = CONFIG_KEYS[name]?.split('.') ?? []
    if (!section || !key) continue
    const flag = option.negate || option.isBoolean()
    const value = flag ? !option.negate : (option.argChoices?.[0] ?? valueFor(option))
    sections[section] = { ...sections[section], [key]: value }
    const one =
      !flag && option.parseArg && !option.variadic ? option.parseArg(String(value), undefined) : value
    expected[name] = option.variadic ? [one] : one
  }
  await writeFile(file, JSON.stringify({ version: 1, ...sections }))
  command.setOptionValue('config', file)
  await applyConfig(command, program, {})
  expect(command.opts()).toMatchObject(expected)
  expect(Object.keys(expected).sort()).toEqual(Object.keys(CONFIG_KEYS).sort())
})

test('the CSV dialect of the source does not turn on `rejects --csv`', async () => {
  await using folder = await temporaryFolder()
  const file = join(folder.path, 'reembed.yaml')
  await writeFile(file, "version: 1\nsource: { csv: 'header=no' }\noutput: { uri: s3://vectors/wiki }\n")
  const program = createProgram()
  const rejects = program.commands.find(one => one.name() === 'rejects') ?? program
  rejects.setOptionValue('config', file)
  await applyConfig(rejects, program, {})
  expect(rejects.opts()).toMatchObject({ output: 's3://vectors/wiki' })
  expect(rejects.opts().csv).toBeUndefined()
})

test('the address of a worker is not taken by a producer or an exporter with the same file', async () => {
  await using folder = await temporaryFolder()
  const file = join(folder.path, 'reembed.yaml')
  await writeFile(file, 'version: 1\nworker: { metrics: 9464 }\nqueue: { redis: redis://r:6379 }\n')
  const given = async (name: string): Promise<unknown> => {
    const program = createProgram()
    const command = program.commands.find(one => one.name() === name) ?? program
    command.setOptionValue('config', file)
    await applyConfig(command, program, {})
    const { metrics, redis } = command.opts()
    return { metrics, redis }
  }
  expect(await given('worker')).toEqual({ metrics: '9464', redis: 'redis://r:6379' })
  for (const name of ['producer', 'exporter'])
    expect(await given(name)).toEqual({ metrics: undefined, redis: 'redis://r:6379' })
})

test('a file that `init` wrote gives the source back: a URL as it is, a path below its folder', async () => {
  await using folder = await temporaryFolder()
  const given = async (uri: string): Promise<unknown> => {
    const file = join(folder.path, 'reembed.yaml')
    await rm(file, { force: true })
    await writeFirstConfig(file, { about: 'a source', values: new Map([['source.uri', uri]]) })
    const program = createProgram()
    const command = program.commands.find(one => one.name() === 'plan') ?? program
    command.setOptionValue('config', file)
    await applyConfig(command, program, {})
    return command.opts().source
  }
  const path = join(folder.path, 'docs')
  for (const uri of [
    'qdrant+https://db:6333?collection=docs',
    'postgres://db/x?table=docs',
    's3://b/p',
    path,
  ])
    expect(await given(uri)).toBe(uri)
})

async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'reembed-test-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

test.each([
  'postgres://app:hunter2@db/x?table=docs',
  'postgres://app@db/x?table=docs&password=hunter2',
  'postgres://app@db/x?sslpassword=hunter2&table=docs',
  'qdrant+https://app:hunter2@db:6333?collection=docs',
])('a first file names the variable of a source whose URL has a password: %s', async source => {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-config-'))
  const file = join(folder, 'reembed.yaml')
  await writeFirstConfig(file, { about: 'a table', values: new Map([['source.uri', source]]) })
  const text = await readFile(file, 'utf8')
  await rm(folder, { recursive: true })
  expect(text).toContain('uri: ${REEMBED_SOURCE}')
  expect(text).not.toContain('hunter2')
})
