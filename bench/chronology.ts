// What is on the screen 0.2, 1, 2, 5 and 10 s after `reembed run` begins, on a terminal of 80 and
// of 120 columns, for corpora and endpoints that make it wait.
//
//   node --conditions=@reembed/source bench/chronology.ts [name ...] [columns ...]     all without a name
//
// Not measured: anything; other work on the machine shifts what is on the screen. Needs `script` of
// util-linux, which gives the command a terminal.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startFakeHf, startFakeTei, startS3Server } from '@reembed/testing'

const COMMAND = fileURLToPath(new URL('../reembed', import.meta.url))
const SECONDS = [0.2, 1, 2, 5, 10]
const WIDTHS = [80, 120]

/** Texts that differ, and are equally long on the average. */
function sentence(n: number): string {
  const [a, b, c] = [31, 17, 7].map(step => WORDS[(n * step + Math.floor(n / step)) % WORDS.length])
  return `${n}: ${a} hunt at night, quietly, over ${b} and along the edges of ${c}. `
}
const WORDS =
  'owls fields woods rivers hedges barns bats meadows foxes hills ponds lanes orchards moors'.split(' ')

interface Scenario {
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

/** Makes a corpus in `folder`, and what the command connects to; the stack stops it. */
type MakeScenario = (folder: string, stack: AsyncDisposableStack) => Promise<Scenario>

const SCENARIOS: Readonly<Record<string, MakeScenario>> = {
  async 'own folder'(folder) {
    const pages = join(folder, 'docs')
    await mkdir(pages)
    for (let page = 0; page < 196; page += 1) {
      const sections = Array.from(
        { length: 2 + (page % 20) },
        (_, n) =>
          `## Part ${n}\n\n${Array.from({ length: 6 }, (_, i) => sentence(page * 131 + n * 6 + i)).join('')}`,
      )
      await writeFile(join(pages, `page-${page}.md`), `# Page ${page}\n\n${sections.join('\n\n')}\n`)
    }
    return { args: ['--source', pages] }
  },
  '20,000 records': async folder => ({ args: ['--source', await records(folder, 20_000)] }),
  '2 GB of JSONL': async (folder, stack) => {
    const tei = stack.use(await startFakeTei({ dimensions: 8 }))
    return { args: ['--source', await records(folder, 18_500_000), '--endpoint', tei.url] }
  },
  async 'slow endpoint'(folder, stack) {
    const tei = stack.use(await startFakeTei({ dimensions: 8, baseMs: 2_000, msPerToken: 5 }))
    return { args: ['--source', await records(folder, 600), '--endpoint', tei.url] }
  },
  async 'sleeping endpoint'(folder, stack) {
    const token = 'hf_chronology'
    const fake = stack.use(await startFakeHf({ token }))
    await fake.deploy('bge', { token, replica: { dimensions: 8 }, initialState: 'scaledToZero' })
    return {
      args: ['--source', await records(folder, 20_000), '--endpoint', 'hf:test/bge'],
      env: { HF_TOKEN: token, REEMBED_HF_API: fake.apiUrl },
    }
  },
  async '100,000 objects on S3'(_, stack) {
    const s3 = stack.use(await startS3Server({ buckets: ['corpus'] }))
    const tei = stack.use(await startFakeTei({ dimensions: 8 }))
    for (let i = 0; i < 100_000; i += 1)
      s3.bucket('corpus').put(`docs/${String(i).padStart(6, '0')}.txt`, Buffer.from(sentence(i)), {})
    return { args: ['--source', 's3://corpus/docs/', '--endpoint', tei.url], env: s3.env }
  },
}

async function records(folder: string, count: number): Promise<string> {
  const file = join(folder, 'records.jsonl')
  const stream = createWriteStream(file)
  for (let from = 0; from < count; from += 10_000) {
    const lines = Array.from(
      { length: Math.min(10_000, count - from) },
      (_, i) => `{"id":"d${from + i}","text":"${sentence(from + i)}"}\n`,
    )
    if (!stream.write(lines.join(''))) await once(stream, 'drain')
  }
  stream.end()
  await once(stream, 'close')
  return file
}

/** The lines that a terminal shows after `output`: enough of a terminal for what reembed writes. */
function screenOf(output: string, columns: number): string[] {
  const lines = ['']
  const esc = '\u001b'
  for (const part of output.split(new RegExp(`(${esc}\\[[0-9;?]*[A-Za-z]|\\r|\\n)`))) {
    const at = lines.length - 1
    if (part === '\n') lines.push('')
    else if (part === `${esc}[2K`) lines[at] = ''
    else if (part !== '\r' && !part.startsWith(esc)) lines[at] += part
  }
  return lines.flatMap(line =>
    line === ''
      ? ['']
      : Array.from({ length: Math.ceil(line.length / columns) }, (_, i) =>
          line.slice(i * columns, (i + 1) * columns),
        ),
  )
}

async function show(name: string, make: MakeScenario, columns: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-screen-'))
  await using stack = new AsyncDisposableStack()
  stack.defer(() => rm(folder, { recursive: true }))
  const { args, env } = await make(folder, stack)
  const command = [COMMAND, 'run', ...args, '--output', join(folder, 'vectors')]
  const quoted = command.map(arg => `'${arg}'`).join(' ')
  const { CI: _, ...rest } = process.env
  const child = spawn('script', ['-qfec', `stty cols ${columns}; exec ${quoted}`, '/dev/null'], {
    env: { ...rest, TERM: 'xterm', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let output = ''
  let isOver = false
  child.stdout.on('data', data => {
    output += data
  })
  const over = new Promise<void>(resolve =>
    child.once('close', () => {
      isOver = true
      resolve()
    }),
  )
  console.log(`\n### ${name}, ${columns} columns`)
  const startMs = performance.now()
  let before: readonly string[] = []
  for (const second of SECONDS) {
    await Promise.race([over, wait(1000 * second - (performance.now() - startMs))])
    const screen = screenOf(output, columns).map(line => `    ${line}`.trimEnd())
    const changed = screen.findIndex((line, i) => line !== before[i])
    const shown = changed > 1 ? [`    (${changed} lines as before)`, ...screen.slice(changed)] : screen
    before = screen
    console.log(`\n${isOver ? 'at the end' : `after ${second} s`}:\n\n${shown.join('\n').trimEnd()}`)
    if (isOver) return
  }
  // As Ctrl-C does it: a signal to `script` would add a line of its own.
  child.stdin.write('\u0003\u0003')
  await Promise.race([over, wait(5_000)])
  child.kill('SIGKILL')
}

const given = process.argv.slice(2)
const names = given.filter(name => name in SCENARIOS)
const widths = given.map(Number).filter(width => width > 0)
for (const [name, make] of Object.entries(SCENARIOS)) {
  if (names.length > 0 && !names.includes(name)) continue
  for (const columns of widths.length > 0 ? widths : WIDTHS) await show(name, make, columns)
}
process.exit()
