// reembed.yaml, by the command that shows what it says: values with their origins, or one line
// naming the place.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCommand } from 'reembed/command'
import { must, type Target } from '../target.ts'

const GOOD = `version: 1
source:
  uri: s3://corpora/wiki/
  id_field: id
output:
  uri: \${OUT:-./vectors}
endpoint:
  url: http://tei:8080
embed: { truncate: true, dtype: float16 }
publish:
  gates: [ 'recall_drop<0.02' ]
schedules:
  nightly: { cron: '0 3 * * *', timezone: Europe/Berlin, when: source_changed }
`

const folder = mkdtempSync(join(tmpdir(), 'reembed-fuzz-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
const file = join(folder, 'reembed.yaml')

export const target: Target = {
  what: 'reembed.yaml',
  maxBytes: 800,
  maxMiB: 256,
  dictionary: [
    'version: 1\n',
    'source:\n  uri: ',
    '${',
    '}',
    '$${',
    ':-',
    '&a',
    '*a',
    '<<: *a',
    '!!binary',
    '? ',
    '- ',
    '|\n',
    '>\n',
    '---\n',
    '...\n',
    '%YAML 1.1\n',
    '#',
    '"',
    "'",
    '{',
    '}',
    '[',
    ']',
    '__proto__: ',
    'null',
    '~',
    '.inf',
    '0x1F',
    '\t',
    '\n  ',
    'schedules:\n  a:\n    cron: ',
  ],
  seeds: () =>
    [
      GOOD,
      'version: 1\n',
      '',
      'version: 2\n',
      'a: &a [1, *a]\n',
      'version: 1\nsource: { uri: x }\nsorce: 1\n',
    ].map(text => Buffer.from(text)),
  async check(input) {
    writeFileSync(file, input)
    const said = { stdout: '', stderr: '' }
    const writes = { stdout: process.stdout.write, stderr: process.stderr.write }
    const hear = (name: 'stdout' | 'stderr') => (text: unknown) => {
      said[name] += String(text)
      return true
    }
    process.stdout.write = hear('stdout') as typeof process.stdout.write
    process.stderr.write = hear('stderr') as typeof process.stderr.write
    let code: number
    try {
      code = await runCommand(['node', 'reembed', 'config', '--json', '--config', file])
    } finally {
      Object.assign(process.stdout, { write: writes.stdout })
      Object.assign(process.stderr, { write: writes.stderr })
      process.exitCode = undefined
    }
    must(code === 0 || code === 2, () => `ended with ${code}: ${said.stderr}`)
    must(!/\n {4}at /.test(said.stderr), () => `a stack trace: ${said.stderr}`)
    if (code === 0) must(Array.isArray(JSON.parse(said.stdout).values), () => 'no values')
    else must(said.stderr.includes('reembed.yaml'), () => `it does not name the file: ${said.stderr}`)
    must(!('polluted' in {}), () => 'every object has another member')
  },
}
