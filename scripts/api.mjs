// The API report: what each package exports, from its emitted declarations, as
// docs/api/<package>.api.md. A change of a public signature shows in the diff of a pull request.
//
//   node scripts/api.mjs           builds and fails where a committed report differs
//   node scripts/api.mjs --write   writes the reports

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from './pack.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const reports = join(root, 'docs', 'api')
const write = process.argv.includes('--write')

function reportOf(manifest, folder) {
  const entries = Object.entries(manifest.publishConfig.exports).map(([subpath, { types }]) => {
    const names = [...exportsOf(join(folder, types))].sort(([a], [b]) => (a < b ? -1 : 1))
    const title = subpath === '.' ? manifest.name : `${manifest.name}${subpath.slice(1)}`
    return `## ${title}\n\n${names.map(([, declaration]) => declaration).join('\n\n')}\n`
  })
  return `<!-- Written by \`npm run api -- --write\` from the emitted declarations. Do not edit. -->\n\n# API of ${manifest.name}\n\n${entries.join('\n')}`
}

/**
 * Exported name -> its declaration as Markdown; exports from other packages are named, not
 * repeated.
 */
function exportsOf(file) {
  const text = readFileSync(file, 'utf8')
  const found = new Map()
  for (const [, isType, list, from] of text.matchAll(/^export (type )?\{([^}]*)\}(?: from '([^']+)')?;/gm)) {
    for (const part of list
      .split(',')
      .map(one => one.trim())
      .filter(Boolean)) {
      const [, own, name, alias = name] = /^(type )?(\w+)(?: as (\w+))?$/.exec(part)
      if (from?.startsWith('.')) {
        const target = resolve(dirname(file), from).replace(/\.ts$/, '.d.ts')
        const declaration = exportsOf(target).get(name)
        if (declaration === undefined) throw new Error(`${target} does not declare ${name}`)
        found.set(alias, declaration)
      } else if (from !== undefined) {
        found.set(alias, `### ${alias}\n\n${isType || own ? 'Type' : 'Value'} from \`${from}\`.`)
      }
    }
  }
  for (const [, from] of text.matchAll(/^export \* from '([^']+)';/gm)) {
    found.set(`* ${from}`, `Everything that \`${from}\` exports.`)
  }
  for (const { name, code } of declarationsOf(text)) {
    const before = found.get(name)
    found.set(name, before ? `${before}\n\n${block(code)}` : `### ${name}\n\n${block(code)}`)
  }
  return found
}

const block = code => `\`\`\`ts\n${code}\n\`\`\``

const DECLARATION =
  /^export (?:declare )?(?:abstract )?(?:const|let|function|class|interface|type|namespace) (\w+)/

/**
 * Top-level declarations of a .d.ts file: each begins at the left margin and ends before the next
 * line that does.
 */
function* declarationsOf(text) {
  const lines = text.replace(/^ *\/\*\*[\s\S]*?\*\/\n/gm, '').split('\n')
  for (let at = 0; at < lines.length; at += 1) {
    const name = DECLARATION.exec(lines[at])?.[1]
    if (name === undefined) continue
    const start = at
    while (at + 1 < lines.length && /^[ }|\])]/.test(lines[at + 1])) at += 1
    const code = lines.slice(start, at + 1).join('\n')
    yield { name, code: code.replace(/^export (declare )?/, '') }
  }
}

build()
let changed = 0
for (const folder of readdirSync(join(root, 'packages')).sort()) {
  const manifest = JSON.parse(readFileSync(join(root, 'packages', folder, 'package.json'), 'utf8'))
  const text = reportOf(manifest, join(root, 'packages', folder))
  const file = join(reports, `${folder}.api.md`)
  if (existsSync(file) && readFileSync(file, 'utf8') === text) continue
  changed += 1
  if (write) {
    mkdirSync(reports, { recursive: true })
    writeFileSync(file, text)
  }
  process.stderr.write(`${relative(root, file)}: ${write ? 'written' : 'differs from the code'}\n`)
}
if (changed > 0 && !write) {
  process.stderr.write('api: run `npm run api -- --write`, review the diff and commit it\n')
  process.exitCode = 1
} else process.stderr.write('api: ok\n')
