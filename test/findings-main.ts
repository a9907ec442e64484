// npm run findings -- [part of a finding]
//
// Takes each fix of findings.ts out of its file, one after the other, and requires the test of the
// finding to fail. Each file is restored, also after an interrupt. Exit code 1 if a test passes.

import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { FINDINGS, type Finding } from './findings.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const VITEST = join(dirname(createRequire(import.meta.url).resolve('vitest/package.json')), 'vitest.mjs')
/** A test without its fix may wait without end. */
const MOST_MS = 120_000
const TEST_MS = 20_000

const [part = ''] = process.argv.slice(2)
const wanted = FINDINGS.filter(({ point, seen, without }) =>
  `${point} ${seen} ${without.file}`.includes(part),
)
let caught = 0
for (const finding of wanted) {
  const outcome = await withoutFix(finding)
  if (outcome !== 'passed') caught += 1
  process.stdout.write(`${outcome.padEnd(6)} ${finding.point}: ${finding.seen}\n`)
}
process.stdout.write(`${caught} of ${wanted.length} fixes are noticed when they are missing\n`)
process.exitCode = caught === wanted.length ? 0 : 1

/** What the test of the finding does without its fix. */
async function withoutFix({ test: [declared, name], only, run = declared, without }: Finding) {
  const path = `${ROOT}${without.file}`
  const source = readFileSync(path, 'utf8')
  const [fixed = ''] = name.split(/[$%][a-z]/, 1)
  const pattern = only ?? RegExp.escape(fixed.trim())
  const args = [
    VITEST,
    'run',
    run,
    '--maxWorkers=1',
    `--testTimeout=${TEST_MS}`,
    '--bail=1',
    '--reporter=json',
  ]
  try {
    writeFileSync(
      path,
      source.replace(without.find, () => without.replace),
    )
    const child = spawn(process.execPath, [...args, '-t', pattern], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'ignore'],
      // A group of its own, so that a test in an endless loop ends with it.
      detached: true,
    })
    const end = (): void => void (child.pid && process.kill(-child.pid, 'SIGKILL'))
    const interrupted = (): never => {
      end()
      writeFileSync(path, source)
      process.exit(130)
    }
    process.once('SIGINT', interrupted).once('SIGTERM', interrupted)
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      end()
    }, MOST_MS)
    const report = await text(child.stdout)
    clearTimeout(timer)
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted)
    if (isLate) return 'hung'
    return /"numFailedTests":[1-9]/.test(report) ? 'failed' : 'passed'
  } finally {
    writeFileSync(path, source)
  }
}
