// The matrix of deadlines has every command of the program, with every dependency that the command
// has an option for, and every kind of vector store.

import { openVectorStore } from '@reembed/sinks'
import { expect, test } from 'vitest'
import { createProgram } from '../packages/reembed/src/program.ts'
import { COMMANDS, type Dependency, type Places } from './deadlines/commands.ts'

/** Commands with such an option that does not lead to its dependency, each with the reason. */
const WITHOUT: Readonly<Record<string, string>> = {
  'config Redis': 'shows values, connects to nothing',
  'config S3': 'shows values, connects to nothing',
  'config endpoint': 'shows values, connects to nothing',
  'init Redis': 'writes reembed.yaml',
  'init S3': 'writes reembed.yaml; reads a source of any kind, here the Hub',
  'init endpoint': 'writes reembed.yaml',
  'console endpoint': 'used by a search, while the console is up',
  'retry Redis': 'after the rejects of the run were read; then as enqueue',
  'retry endpoint': 'after the rejects of the run were read; then as enqueue',
  'producer endpoint': 'of a tick that is due; then as enqueue',
  'schedule tick endpoint': 'of a tick that is due; then as enqueue',
}
/** Commands without a dependency: they edit or print a file. */
const LOCAL = new Set(['schedule add', 'schedule rm', 'config'])

const PLACES: Places = {
  redis: 'redis://redis',
  s3: 'http://s3',
  endpoint: 'http://endpoint',
  hub: 'http://hub',
  api: 'http://api',
  vectors: 'http://vectors',
  source: '/source',
  finished: { output: 's3://output', runs: ['a', 'b'] },
  queued: { output: 's3://queued', run: 'a' },
  fresh: 's3://fresh',
  folder: '/folder',
}

type Declared = ReturnType<typeof createProgram>

interface Leaf {
  readonly name: string
  readonly needs: readonly Dependency[]
}

function leavesOf(parent: Pick<Declared, 'commands'>, path: readonly string[] = []): Leaf[] {
  return parent.commands.flatMap(command => {
    const names = [...path, command.name()]
    if (command.commands.length > 0) return leavesOf(command, names)
    const has = (long: string, about = /^/): boolean =>
      command.options.some(option => option.long === long && about.test(option.description))
    const needs: Dependency[] = []
    if (has('--redis')) needs.push('Redis')
    if (has('--output')) needs.push('S3')
    if (has('--endpoint')) needs.push('endpoint')
    if (has('--to', /vector store/) || has('--store')) needs.push('vector store')
    return [{ name: names.join(' '), needs }]
  })
}

const leaves = leavesOf(createProgram())

/** The dependencies of each command in the matrix. */
const covered = new Map<string, Set<Dependency>>()
for (const { args, uses } of COMMANDS) {
  const line = `${args(PLACES).join(' ')} `
  const [leaf] = leaves
    .filter(({ name }) => line.startsWith(`${name} `))
    .sort((a, b) => b.name.length - a.name.length)
  const name = leaf?.name ?? line
  covered.set(name, new Set([...(covered.get(name) ?? []), ...uses]))
}

test('every command of the program is in the matrix of deadlines, or has no dependency', () => {
  const missing = leaves.filter(({ name }) => !covered.has(name) && !LOCAL.has(name))
  expect(missing.map(({ name }) => name)).toEqual([])
  const known = new Set(leaves.map(({ name }) => name))
  expect([...covered.keys()].filter(name => !known.has(name))).toEqual([])
})

test('a command with an option for a dependency is in the matrix with that dependency', () => {
  const missing = leaves.flatMap(({ name, needs }) =>
    needs.map(need => [name, need] as const).filter(([, need]) => !covered.get(name)?.has(need)),
  )
  expect(missing.map(parts => parts.join(' ')).filter(cell => !(cell in WITHOUT))).toEqual([])
})

test('every kind of vector store that is reached over a network is in the matrix', async () => {
  const failure: unknown = await openVectorStore('unknown://host').catch((error: unknown) => error)
  const kinds = new Set(Array.from(String(failure).matchAll(/([a-z]+)(?:\+\w+)?:\/\//g), ([, kind]) => kind))
  // OpenSearch has the client of Elasticsearch. LanceDB runs in the process.
  for (const same of ['unknown', 'opensearch', 'postgresql', 'lancedb']) kinds.delete(same)
  const loaded = COMMANDS.flatMap(({ name }) => /^load \((\w+)\)$/.exec(name)?.[1] ?? [])
  expect(loaded.sort()).toEqual([...kinds].sort())
})
