// A dataset on the Hugging Face Hub as a read-only store: 'hf://datasets/org/name@revision/path',
// the URL that fsspec, DuckDB and Polars use. Opening resolves a branch to its commit and puts it
// into the store's URL: a plan then names files that never change, so readers need no If-Match.
//
//   GET /api/datasets/<org>/<name>/revision/<revision>           { sha }
//   GET /api/datasets/<org>/<name>/tree/<commit>/<path>?recursive=true&limit=1000    pages by a Link header
//   GET /datasets/<org>/<name>/resolve/<commit>/<file>           the bytes, by Range
//
// Source: huggingface.co/docs/hub/api, and huggingface.js packages/hub/src/lib/list-files.ts for
// the paging.

import { count, list, optional, ReembedError, record, requireShape, text } from '@reembed/shared'
import { createHubClient, escapeHubPath } from './hub-client.ts'
import { collect, compareKeys } from './keys.ts'
import { ObjectNotFound } from './not-found.ts'
import type { ObjectInfo, ReadOptions, Store } from './store.ts'

export interface HubOptions {
  /** Base URL of the Hub or of a mirror; HF_ENDPOINT if not given. */
  readonly endpoint?: string | undefined
  /** For private and gated datasets; HF_TOKEN if not given. */
  readonly token?: string | undefined
  /** Milliseconds before the second attempt, doubled before each further one; 500 if not given. */
  readonly retryMs?: number | undefined
}

interface TreeEntry {
  readonly type: string
  readonly path: string
  readonly size: number
  readonly oid: string
  readonly lfs?: { readonly oid: string } | undefined
}

const treeShape = list(
  record<TreeEntry>({ type: text, path: text, size: count, oid: text, lfs: optional(record({ oid: text })) }),
)

const PAGE = 1_000
const ATTEMPTS = 5

/**
 * Opens a dataset of the Hub for reading, at the commit that its revision names now.
 * @throws ReembedError USAGE for a URL of another form, SOURCE_NOT_FOUND for a revision that does
 * not exist,
 *   STORE_ACCESS_DENIED, STORE_UNREACHABLE
 */
export async function openHub(url: string, { endpoint, token, retryMs }: HubOptions = {}): Promise<Store> {
  const [, name, revision = 'main', path = ''] =
    /^hf:\/\/datasets\/([^/@]+\/[^/@]+)(?:@([^/]+))?(?:\/(.*))?$/.exec(url) ?? []
  if (name === undefined) {
    throw new ReembedError('USAGE', `Expected hf://datasets/org/name@revision/path, got '${url}'`)
  }
  const root = path.replace(/\/+$/, '')
  const subject = `dataset ${name}`
  const hub = createHubClient({
    endpoint,
    token,
    retries: ATTEMPTS - 1,
    retryMs,
    codes: { unreachable: 'STORE_UNREACHABLE', accessDenied: 'STORE_ACCESS_DENIED' },
  })

  const resolved = await hub.json(`/api/datasets/${name}/revision/${encodeURIComponent(revision)}`, {
    subject,
  })
  const { sha } = Object(resolved?.value)
  if (typeof sha !== 'string') {
    throw new ReembedError(
      'SOURCE_NOT_FOUND',
      `Dataset ${name} has no revision '${revision}' on the Hub at ${hub.endpoint}: check name and revision`,
    )
  }
  const commit: string = sha

  async function* tree(folder: string, signal?: AbortSignal): AsyncGenerator<TreeEntry, void, undefined> {
    const base = `/api/datasets/${name}/tree/${commit}/${escapeHubPath(folder)}`
    const what = `the listing of dataset ${name} by the Hub at ${hub.endpoint} is invalid`
    let next: string | undefined = `${base}?recursive=true&limit=${PAGE}`
    while (next !== undefined) {
      const page = await hub.json(next, { subject, signal })
      if (page === undefined) return
      for (const entry of requireShape<TreeEntry[]>(treeShape, page.value, what)) {
        if (!isBelow(entry.path, folder)) throw new ReembedError('CORRUPT', `${what}: it has '${entry.path}'`)
        yield entry
      }
      const [, link] = /<([^>]+)>;\s*rel="next"/.exec(page.headers.get('link') ?? '') ?? []
      // Only the query of the link is used: a reply must not choose the host that gets the token.
      const query = link && URL.parse(link, hub.endpoint)?.search
      const following = query ? base + query : undefined
      if (following === next)
        throw new ReembedError('CORRUPT', `${what}: page ${next} names itself as the next page`)
      next = following
    }
  }

  const fileOf = (key: string): string => (root === '' ? key : `${root}/${key}`)
  const infoOf = ({ path, size, oid, lfs }: TreeEntry): ObjectInfo => ({
    key: root === '' ? path : path.slice(root.length + 1),
    size,
    etag: lfs?.oid ?? oid,
  })

  async function* stream(
    key: string,
    { start = 0, end, signal }: ReadOptions = {},
  ): AsyncGenerator<Uint8Array, void, undefined> {
    if (end !== undefined && end <= start) return
    const file = `'${key}' in ${url}`
    const read = hub.startRead()
    let at = start
    for (let attempt = 1; ; attempt++) {
      const range = `bytes=${at}-${end === undefined ? '' : end - 1}`
      const path = `/datasets/${name}/resolve/${commit}/${escapeHubPath(fileOf(key))}`
      const response = await hub.request(path, { subject: file, range, signal, read })
      if (response.status !== 206) {
        await response.cancel()
        if (response.status === 416) return
        if (response.status === 404) throw new ObjectNotFound(file)
        throw new ReembedError(
          'CORRUPT',
          `The Hub at ${hub.endpoint} ignores the range of ${file} (HTTP ${response.status} instead of 206)`,
        )
      }
      try {
        for await (const chunk of response.body()) {
          at += chunk.length
          if (at > (end ?? at)) {
            throw new ReembedError('CORRUPT', `${file}: the reply is longer than its range ${range}`, {
              retry: 'retry',
            })
          }
          yield chunk
        }
        return
      } catch (error) {
        if (error instanceof ReembedError || signal?.aborted) throw error
        // The connection broke: the next request continues at the first missing byte. The commit
        // never changes.
        if (attempt === ATTEMPTS || read.isSpent) throw hub.unreachable(file, error)
      }
    }
  }

  const readOnly = (): never => {
    throw new ReembedError('USAGE', `${url} is read-only: write to a folder or s3://bucket/prefix instead`, {
      option: 'output',
    })
  }

  return {
    url: `hf://datasets/${name}@${commit}${root && `/${root}`}`,
    async *list(prefix, { startAfter, signal } = {}) {
      const entries: ObjectInfo[] = []
      for await (const entry of tree(root, signal)) {
        if (entry.type !== 'file') continue
        const info = infoOf(entry)
        if (
          info.key.startsWith(prefix) &&
          (startAfter === undefined || compareKeys(info.key, startAfter) > 0)
        ) {
          entries.push(info)
        }
      }
      // The Hub lists folder by folder, a store by key. Sorting holds all entries: some ten
      // thousand files at most.
      yield* entries.sort((a, b) => compareKeys(a.key, b.key))
    },
    async head(key, { signal } = {}) {
      const file = fileOf(key)
      const folder = file.includes('/') ? file.slice(0, file.lastIndexOf('/')) : ''
      for await (const entry of tree(folder, signal)) {
        if (entry.type === 'file' && entry.path === file) return infoOf(entry)
      }
      return undefined
    },
    stream,
    get: (key, options) => collect(stream(key, options)),
    putIfAbsent: async () => readOnly(),
    copyIfAbsent: async () => readOnly(),
    async [Symbol.asyncDispose]() {},
  }
}

/** A path with a lone surrogate cannot be written in a URL. */
const isBelow = (path: string, folder: string): boolean => {
  const start = folder === '' ? '' : `${folder}/`
  return path.startsWith(start) && path !== start && path.isWellFormed()
}
