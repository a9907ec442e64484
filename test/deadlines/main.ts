// `npm run deadlines`: measures the matrix of dependencies, failures and commands, and prints each
// cell. With --write it writes the table of docs/deadlines.md.

import { readFile, writeFile } from 'node:fs/promises'
import { measureMatrix } from './matrix.ts'
import { tableOf } from './table.ts'

const PAGE = new URL('../../docs/deadlines.md', import.meta.url)
const TIMEOUT_SECONDS = 3

const print = (line: string): void => void process.stdout.write(`${line}\n`)
const [pattern = ''] = process.argv.slice(2).filter(argument => !argument.startsWith('--'))
const s = (ms: number | null): string => (ms === null ? '-' : (ms / 1000).toFixed(1)).padStart(5)
const cells = await measureMatrix({
  timeoutSeconds: TIMEOUT_SECONDS,
  atOnce: 6,
  isWanted: ({ dependency, failure, command }) => `${dependency} ${failure} ${command}`.includes(pattern),
  onCell: ({ dependency, failure, command, firstLineMs, endMs, code, line, signalMs }) =>
    print(
      `${dependency.padEnd(14)} ${failure.padEnd(9)} ${command.padEnd(19)} ${s(firstLineMs)} ${s(endMs)} ${s(signalMs)}  ${String(code ?? '-').padStart(3)}  ${line.slice(0, 150)}`,
    ),
})
const table = tableOf(cells)
print(`\n${table}`)
if (process.argv.includes('--write')) {
  const page = await readFile(PAGE, 'utf8')
  await writeFile(PAGE, page.replace(/(<!-- matrix -->\n)[\s\S]*(\n<!-- end -->)/, `$1${table}$2`))
}
