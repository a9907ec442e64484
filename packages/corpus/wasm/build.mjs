// Builds lines.as.ts into src/source/scan-wasm.ts. Run by hand after a change: `node packages/corpus/wasm/build.mjs`. The
// compiler (100 MB) is fetched for that alone; a test compares the source's hash with the one kept beside the bytes.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const COMPILER = 'assemblyscript@0.28.20'
/** 64 KiB each: as much as scan.ts lays out. */
const PAGES = '608'

const here = import.meta.dirname
const source = join(here, 'lines.as.ts')
const folder = mkdtempSync(join(tmpdir(), 'reembed-wasm-'))
try {
  const out = join(folder, 'lines.wasm')
  const options = '-O3 --runtime stub --noAssert --enable simd --use abort= --initialMemory'.split(' ')
  execFileSync('npx', ['-y', '-p', COMPILER, 'asc', source, '-o', out, ...options, PAGES], {
    stdio: 'inherit',
  })
  const lines =
    readFileSync(out)
      .toString('base64')
      .match(/.{1,100}/g) ?? []
  writeFileSync(
    join(here, '../src/source/scan-wasm.ts'),
    `// Made from wasm/lines.as.ts by wasm/build.mjs with ${COMPILER}: not to be edited.

/** SHA-256 of the source that these bytes were made from. */
export const SOURCE_SHA256 = '${createHash('sha256').update(readFileSync(source)).digest('hex')}'

export const WASM_BASE64: string = [
${lines.map(line => `  '${line}',`).join('\n')}
].join('')
`,
  )
} finally {
  rmSync(folder, { recursive: true })
}
