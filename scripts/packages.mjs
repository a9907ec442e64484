// Checks the packages as they would be published: publint, are-the-types-wrong, and that every
// source map names a file that is in the tarball. Fails on the first kind of problem of any
// package, after all were checked.
//
//   node scripts/packages.mjs

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
// biome-ignore lint/correctness/useImportExtensions: the declarations are in pack.d.mts
import { build, packAll } from './pack.mjs'

const work = mkdtempSync(join(tmpdir(), 'reembed-packages-'))
try {
  build()
  const problems = packAll(work).flatMap(check)
  for (const problem of problems) process.stderr.write(`${problem}\n`)
  process.stdout.write(problems.length === 0 ? 'packages: ok\n' : `packages: ${problems.length} problems\n`)
  process.exitCode = problems.length === 0 ? 0 : 1
} finally {
  rmSync(work, { recursive: true, force: true })
}

function check({ name, folder, file }) {
  const problems = [
    ...failureOf(name, 'publint', ['run', file, '--strict']),
    // Packages are ES modules alone: `require` of them works from Node 22 on, without types for
    // older resolution modes.
    ...failureOf(name, 'attw', [file, '--profile', 'esm-only', '--format', 'ascii', '--no-emoji']),
    ...brokenMaps(name, folder, file),
  ]
  const size = (statSync(file).size / 1024).toFixed(0)
  process.stdout.write(
    `${name.padEnd(20)} ${size.padStart(5)} KiB  ${problems.length === 0 ? 'ok' : 'FAILED'}\n`,
  )
  return problems
}

function failureOf(name, command, args) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  return status === 0 ? [] : [`${name}: ${command} failed:\n${stdout}${stderr}`]
}

function brokenMaps(name, folder, file) {
  const into = join(work, folder)
  spawnSync('mkdir', ['-p', into])
  spawnSync('tar', ['xzf', file, '-C', into, '--strip-components=1'])
  const entries = readdirSync(into, { recursive: true, encoding: 'utf8' })
  const files = new Set(entries)
  return entries
    .filter(path => path.endsWith('.map'))
    .flatMap(path =>
      JSON.parse(readFileSync(join(into, path), 'utf8'))
        .sources.map(source => relative(into, resolve(into, dirname(path), source)))
        .filter(source => !files.has(source))
        .map(source => `${name}: ${path} names ${source}, which is not in the tarball`),
    )
}
