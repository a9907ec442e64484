// The table of public exports: for each package how many names it exports, and how many packages
// import each. A value that fewer than two packages import must be documented surface: the SDK, a
// README or an example names it, or one package imports it and it has a docstring. Types travel
// with the functions that use them. Fails on every other name.
//
//   node scripts/exports.mjs           prints the table and the names that break the rule
//   node scripts/exports.mjs --all     prints every name with its importers

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const all = process.argv.includes('--all')
const read = (...path) => readFileSync(join(root, ...path), 'utf8')
const packages = readdirSync(join(root, 'packages')).sort()

/**
 * `package name` -> the folders that import it. Tests, benches and infra count as one importer
 * each.
 */
const importers = new Map()
for (const folder of [
  ...packages.map(name => `packages/${name}/src`),
  ...packages.map(name => `packages/${name}/test`),
]) {
  collect(folder, folder.endsWith('/test') ? 'test' : folder.split('/')[1])
}
for (const folder of ['test', 'bench', 'infra']) collect(folder, folder)

const documented = new Set(
  [
    ...importsOf(read('packages/sdk/src/index.ts')),
    ...packages.flatMap(name => importsOf(read('packages', name, 'README.md'))),
    ...readdirSync(join(root, 'examples')).flatMap(name =>
      name.endsWith('.ts') ? importsOf(read('examples', name)) : [],
    ),
  ].map(({ from, name }) => `${from} ${name}`),
)

let broken = 0
process.stdout.write('package    exports  by 0  by 1  by 2+  documented  breaking\n')
for (const name of packages) {
  // The whole of the SDK and of the test helpers is surface for users.
  if (name === 'reembed' || name === 'sdk' || name === 'testing' || name === 'local') continue
  const rows = exportsOf(name).map(({ name: exported, isType, hasDocstring }) => {
    const by = importers.get(`${name} ${exported}`) ?? new Set()
    return { exported, isType, hasDocstring, by: [...by], documented: documented.has(`${name} ${exported}`) }
  })
  const isSurface = row => row.documented || (row.by.length === 1 && row.hasDocstring)
  const bad = rows.filter(row => !row.isType && row.by.length < 2 && !isSurface(row))
  broken += bad.length
  const count = test => String(rows.filter(test).length)
  process.stdout.write(
    `${name.padEnd(10)} ${String(rows.length).padStart(7)}  ${count(row => row.by.length === 0).padStart(4)}  ${count(row => row.by.length === 1).padStart(4)}  ${count(row => row.by.length > 1).padStart(5)}  ${count(row => row.documented).padStart(10)}  ${String(bad.length).padStart(8)}\n`,
  )
  for (const row of all ? rows : bad)
    process.stdout.write(`  ${row.exported}: ${row.by.join(', ') || 'no importer'}\n`)
}
process.stderr.write(broken === 0 ? 'exports: ok\n' : `exports: ${broken} names break the rule\n`)
process.exitCode = broken === 0 ? 0 : 1

function collect(folder, importer) {
  for (const path of sourcesOf(join(root, folder))) {
    for (const { from, name } of importsOf(readFileSync(path, 'utf8'))) {
      if (from === importer) continue
      const key = `${from} ${name}`
      importers.set(key, (importers.get(key) ?? new Set()).add(importer))
    }
  }
}

/** TypeScript files below `folder`. Skips node_modules: a workspace links to packages there. */
function* sourcesOf(folder) {
  if (!existsSync(folder)) return
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory() && entry.name !== 'node_modules') yield* sourcesOf(join(folder, entry.name))
    else if (entry.isFile() && entry.name.endsWith('.ts')) yield join(folder, entry.name)
  }
}

/** Names imported or re-exported from packages of the workspace. */
function importsOf(text) {
  const found = []
  for (const [, list, from] of text.matchAll(
    /^(?:import|export) (?:type )?\{([^}]*)\} from '@reembed\/([a-z]+)'/gm,
  )) {
    for (const { name } of namesIn(list)) found.push({ from, name })
  }
  return found
}

function exportsOf(name) {
  const index = join('packages', name, 'src', 'index.ts')
  return [...read(index).matchAll(/^export (type )?\{([^}]*)\} from '([^']+)'/gm)].flatMap(
    ([, isType, list, from]) => {
      const source = from.startsWith('.') ? read(dirname(index), from) : ''
      return namesIn(list).map(one => ({
        ...one,
        isType: isType !== undefined || one.isType,
        hasDocstring: documentedIn(source, one.name),
      }))
    },
  )
}

/** Whether the declaration of `name` follows a docstring. */
function documentedIn(source, name) {
  const declaration = new RegExp(`\\*/\\nexport (?:async )?(?:function\\*?|const|class) ${name}\\b`)
  return declaration.test(source)
}

function namesIn(list) {
  return list
    .split(',')
    .map(part => /^\s*(type )?(\w+)/.exec(part))
    .filter(match => match !== null)
    .map(([, isType, name]) => ({ name, isType: isType !== undefined }))
}
