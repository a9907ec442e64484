// npm run findings -- [part of a finding]
//
// Takes each fix of findings.ts out of its file, one after the other, and requires the test of the
// finding to fail. Each file is restored, also after an interrupt. Exit code 1 if a test passes.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
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
  if (outcome === 'failed' || outcome === 'hung') caught += 1
  process.stdout.write(`${outcome.padEnd(7)} ${finding.point}: ${finding.seen}\n`)
}
process.stdout.write(`${caught} of ${wanted.length} fixes are noticed when they are missing\n`)
process.exitCode = caught === wanted.length ? 0 : 1

/** What the test of the finding does without its fix. */
async function withoutFix({ test: [declared, name], only, run = declared, without }: Finding) {
  const path = `${ROOT}${without.file}`
  const source = readFileSync(path, 'utf8')
  const folder = mkdtempSync(join(tmpdir(), 'reembed-findings-'))
  const report = join(folder, 'report.json')
  const restore = (): void => {
    writeFileSync(path, source)
    rmSync(folder, { recursive: true, force: true })
  }
  const [fixed = ''] = name.split(/[$%][a-z]/, 1)
  const args = [
    ...[VITEST, 'run', run, '-t', only ?? RegExp.escape(fixed.trim()), '--maxWorkers=1', '--bail=1'],
    ...[`--testTimeout=${TEST_MS}`, '--reporter=json', `--outputFile=${report}`],
  ]
  writeFileSync(
    path,
    source.replace(without.find, () => without.replace),
  )
  // A group of its own, so that a test in an endless loop ends with it.
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: 'ignore', detached: true })
  const end = (): void => void (child.pid && process.kill(-child.pid, 'SIGKILL'))
  const interrupted = (): never => {
    end()
    restore()
    process.exit(130)
  }
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted)
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    end()
  }, MOST_MS)
  try {
    await once(child, 'close')
    if (isLate) return 'hung'
    if (!existsSync(report)) return 'broken'
    const { numFailedTests, numPassedTests } = JSON.parse(readFileSync(report, 'utf8'))
    // A test that is skipped on this machine proves nothing.
    if (numFailedTests + numPassedTests === 0) return 'skipped'
    return numFailedTests > 0 ? 'failed' : 'passed'
  } finally {
    clearTimeout(timer)
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted)
    restore()
  }
}
