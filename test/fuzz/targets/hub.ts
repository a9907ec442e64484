// The Hub's replies: which commit, which files, by pages, and their bytes by ranges. A listing that
// can't be taken is refused; what is listed has keys and sizes.

import { openStore } from '@reembed/store'
import { must, refusing, type Target } from '../target.ts'

const REFUSED = [
  'USAGE',
  'SOURCE_NOT_FOUND',
  'STORE_ACCESS_DENIED',
  'STORE_UNREACHABLE',
  'CORRUPT',
  'SOURCE_FORMAT',
]
const SPLIT = '\u0000'
const files = [
  { type: 'file', path: 'data/a.jsonl', size: 12, oid: 'o1' },
  { type: 'directory', path: 'data', size: 0, oid: 'o2' },
  { type: 'file', path: 'data/b.parquet', size: 5e9, oid: 'o3', lfs: { oid: 'l3' } },
]
const input = (...parts: string[]): Buffer => Buffer.from(parts.join(SPLIT))

/** Asked for more pages than this, it gives none. */
const MAX_PAGES = 20

export const target: Target = {
  what: 'replies of the Hugging Face Hub: commit, listing, ranges',
  maxBytes: 800,
  maxMiB: 128,
  dictionary: [
    SPLIT,
    '200',
    '206',
    '404',
    '500',
    '{"sha":"',
    '[{',
    '"type":"file"',
    '"path":"',
    '"size":',
    'null',
    '[]',
    '{}',
    '-1',
    '<https://huggingface.co/2>; rel="next"',
    '../',
    '\\u0000',
    '1e400',
    '"lfs":{}',
  ],
  seeds: () => [
    input('200', '{"sha":"abc"}', '200', JSON.stringify(files), '', '206', 'twelve bytes'),
    input(
      '200',
      '{"sha":"abc"}',
      '200',
      JSON.stringify(files.slice(0, 1)),
      '<https://huggingface.co/2>; rel="next"',
      '200',
      'x',
    ),
    input('404', '{}', '200', '[]', '', '416', ''),
  ],
  async check(bytes) {
    const [revision = '', commit = '', status = '', listing = '', link = '', range = '', body = ''] = bytes
      .toString('latin1')
      .split(SPLIT)
    const before = globalThis.fetch
    let pages = 0
    const reply = (code: string, text: string, headers: Record<string, string> = {}): Response => {
      const status = Number(code)
      const known =
        Number.isInteger(status) && status >= 200 && status < 600 && status !== 429 && status < 500
          ? status
          : 200
      return new Response([204, 205, 304].includes(known) ? null : text, { status: known, headers })
    }
    globalThis.fetch = async address => {
      const path = String(address)
      if (path.includes('/revision/')) return reply(revision, commit)
      if (path.includes('/resolve/')) return reply(range, body)
      pages += 1
      // What no server sends can't come in a header.
      const next = pages < MAX_PAGES && /^[\x20-\x7e]*$/.test(link) ? { link } : {}
      return reply(status, listing, next as Record<string, string>)
    }
    try {
      await refusing(REFUSED, async () => {
        await using store = await openStore('hf://datasets/org/name@main/data', { hub: { retryMs: 0 } })
        let first: string | undefined
        for await (const { key, size, etag } of store.list('')) {
          first ??= key
          must(typeof key === 'string' && key !== '', () => `a key that is ${JSON.stringify(key)}`)
          must(Number.isSafeInteger(size) && size >= 0, () => `a size of ${size}`)
          must(typeof etag === 'string', () => `an etag that is ${typeof etag}`)
        }
        if (first === undefined) return
        await store.head(first)
        const got = await store.get(first, { start: 2, end: 8 })
        must(got.length <= 6, () => `${got.length} bytes of 6`)
      })
    } finally {
      globalThis.fetch = before
    }
  },
}
