// The floors of the repository: which package may import which. Fails on an import that does not
// point down, on an undeclared dependency, on an import cycle between files (type-only imports
// included) and on a package that is too long.
//
//   node scripts/boundaries.mjs           checks, prints the table of packages and the arrows between them
//   node scripts/boundaries.mjs --quiet   checks, prints violations alone
//   node scripts/boundaries.mjs --root <folder>   checks another tree, for the test of this script

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

/**
 * A package imports packages of lower floors only: never of its own floor, never of a higher one.
 */
const FLOORS = [
  ['shared'],
  ['store', 'telemetry'],
  ['protocol', 'queue'],
  ['formats', 'shard', 'limiter'],
  ['corpus', 'endpoint'],
  ['evaluate'],
  ['planner', 'export'],
  ['producer', 'worker', 'sinks'],
  ['local', 'sdk', 'render'],
  ['console'],
  ['reembed'],
]
/** Imported by tests and benches alone; its own sources may import any package below `reembed`. */
const TESTING = 'testing'
const MAX_LINES = 5_500

const { values: options } = parseArgs({ options: { quiet: { type: 'boolean' }, root: { type: 'string' } } })
const root = options.root ?? fileURLToPath(new URL('..', import.meta.url))
const packages = join(root, 'packages')
const floorOf = new Map(FLOORS.flatMap((names, i) => names.map(name => [name, i + 1])))
floorOf.set(TESTING, FLOORS.length)

const problems = []
const imports = new Map() // file -> [{file | package, line}]
const arrows = new Map() // package -> Map(package -> number of imported names)
const lines = new Map()

for (const name of readdirSync(packages).sort()) {
  if (!floorOf.has(name)) {
    problems.push(`packages/${name}: is in no floor; add it to FLOORS in scripts/boundaries.mjs`)
    continue
  }
  const manifest = JSON.parse(readFileSync(join(packages, name, 'package.json'), 'utf8'))
  for (const file of sourcesOf(join(packages, name, 'src'))) readFile(file, name, manifest, 'src')
  for (const file of sourcesOf(join(packages, name, 'test'))) readFile(file, name, manifest, 'test')
}
for (const [name, count] of lines) {
  if (count > MAX_LINES)
    problems.push(`packages/${name}: ${count} lines, at most ${MAX_LINES} fit one package`)
}
for (const cycle of cyclesOf(imports)) {
  problems.push(`import cycle: ${cycle.map(file => relative(root, file)).join(' -> ')}`)
}

if (!options.quiet) printTable()
for (const problem of problems) process.stderr.write(`${problem}\n`)
process.stderr.write(
  problems.length === 0 ? 'boundaries: ok\n' : `boundaries: ${problems.length} violations\n`,
)
process.exitCode = problems.length === 0 ? 0 : 1

function readFile(file, name, manifest, kind) {
  const text = readFileSync(file, 'utf8')
  const found = []
  imports.set(file, found)
  if (kind === 'src') lines.set(name, (lines.get(name) ?? 0) + text.split('\n').length - 1)
  for (const { specifier, names, line } of importsOf(text)) {
    const at = `${relative(root, file)}:${line}`
    if (specifier.startsWith('.')) {
      const target = resolve(dirname(file), specifier)
      if (relative(join(packages, name), target).startsWith('..'))
        problems.push(`${at}: imports ${specifier}, a file of another package`)
      found.push(target)
      continue
    }
    const other = packageOf(specifier)
    if (other === undefined || other === name) continue
    const declared = {
      ...manifest.dependencies,
      ...manifest.peerDependencies,
      ...(kind === 'test' ? manifest.devDependencies : {}),
    }
    const scoped = other === 'reembed' ? other : `@reembed/${other}`
    if (declared[scoped] === undefined)
      problems.push(`${at}: imports ${scoped}, which packages/${name}/package.json does not list`)
    if (kind === 'src') {
      const row = arrows.get(name) ?? new Map()
      row.set(other, (row.get(other) ?? 0) + names)
      arrows.set(name, row)
    }
    const allowed = floorOf.get(other) < floorOf.get(name) || (kind === 'test' && other === TESTING)
    if (!allowed) {
      problems.push(
        `${at}: ${name} (floor ${floorOf.get(name)}) must not import ${other} (floor ${floorOf.get(other)}): imports point down`,
      )
    }
  }
}

/** Every import, export-from and import() of a TypeScript file in the formatter's layout. */
function* importsOf(text) {
  const pattern =
    /^(?:import|export)\s+(?:type\s+)?(\{[^}]*\}|\*(?:\s+as\s+\w+)?|\w+)\s+from\s+'([^']+)'|^import\s+'([^']+)'|\bimport\('([^']+)'\)/gm
  for (const match of text.matchAll(pattern)) {
    const specifier = match[2] ?? match[3] ?? match[4]
    const names = match[1]?.startsWith('{') ? match[1].split(',').filter(part => /\w/.test(part)).length : 1
    yield { specifier, names, line: text.slice(0, match.index).split('\n').length }
  }
}

function packageOf(specifier) {
  if (specifier === 'reembed' || specifier.startsWith('reembed/')) return 'reembed'
  return /^@reembed\/([a-z]+)/.exec(specifier)?.[1]
}

/** Strongly connected components with more than one file (Tarjan). */
function cyclesOf(graph) {
  const index = new Map()
  const low = new Map()
  const stack = []
  const cycles = []
  const visit = file => {
    index.set(file, index.size)
    low.set(file, index.get(file))
    stack.push(file)
    for (const next of graph.get(file) ?? []) {
      if (!graph.has(next)) continue
      if (!index.has(next)) {
        visit(next)
        low.set(file, Math.min(low.get(file), low.get(next)))
      } else if (stack.includes(next)) low.set(file, Math.min(low.get(file), index.get(next)))
    }
    if (low.get(file) !== index.get(file)) return
    const component = stack.splice(stack.indexOf(file))
    if (component.length > 1) cycles.push(component)
  }
  for (const file of graph.keys()) if (!index.has(file)) visit(file)
  return cycles
}

function* sourcesOf(folder) {
  let entries = []
  try {
    entries = readdirSync(folder, { withFileTypes: true, recursive: true })
  } catch {
    return
  }
  for (const entry of entries) {
    if (entry.isFile() && entry.name.endsWith('.ts')) yield join(entry.parentPath, entry.name)
  }
}

function printTable() {
  process.stdout.write('floor  package     lines  imports (names)\n')
  for (const name of [...floorOf.keys()].sort(
    (a, b) => floorOf.get(b) - floorOf.get(a) || a.localeCompare(b),
  )) {
    const floor = name === TESTING ? '-' : String(floorOf.get(name))
    const row = [...(arrows.get(name) ?? [])].sort(
      ([a], [b]) => floorOf.get(b) - floorOf.get(a) || a.localeCompare(b),
    )
    const to = row.map(([other, names]) => `${other} ${names}`).join(', ')
    process.stdout.write(
      `${floor.padStart(5)}  ${name.padEnd(10)} ${String(lines.get(name) ?? 0).padStart(6)}  ${to}\n`,
    )
  }
  process.stdout.write(
    `       total      ${String([...lines.values()].reduce((a, b) => a + b, 0)).padStart(6)}\n`,
  )
}
