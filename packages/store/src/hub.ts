// A dataset on the Hugging Face Hub as a store to read from: 'hf://datasets/org/name@revision/path', the form that
// fsspec, DuckDB and Polars use. A branch is resolved to its commit when the store is opened, and the commit is in the
// store's URL: a plan names files that can never change, so a worker needs no If-Match.
//
//   GET /api/datasets/<org>/<name>/revision/<revision>           { sha }
//   GET /api/datasets/<org>/<name>/tree/<commit>/<path>?recursive=true&limit=1000    pages by a Link header
//   GET /datasets/<org>/<name>/resolve/<commit>/<file>           the bytes, by Range
//
// Source: huggingface.co/docs/hub/api, and huggingface.js packages/hub/src/lib/list-files.ts for the paging.

import { setTimeout as wait } from 'node:timers/promises'
import { count, list, messageOf, optional, ReembedError, record, requireShape, text } from '@reembed/shared'
import { collect, compareKeys } from './keys.ts'
import { ObjectNotFound } from './not-found.ts'
import type { ObjectInfo, ReadOptions, Store } from './store.ts'

export interface HubOptions {
  /** Where the Hub is; HF_ENDPOINT if not given. */
  readonly endpoint?: string | undefined
  /** For private and gated datasets; HF_TOKEN if not given. */
  readonly token?: string | undefined
  /** Before the second try; twice as long before each further one. 500 if not given. */
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
/** Timeout and too many requests. */
const PASSING = [408, 429]

/** @throws ReembedError USAGE for a URL of another form, SOURCE_NOT_FOUND or STORE_ACCESS_DENIED for what can't be seen. */
export async function openHub(
  url: string,
  {
    endpoint = process.env.HF_ENDPOINT ?? 'https://huggingface.co',
    token = process.env.HF_TOKEN,
    retryMs = 500,
  }: HubOptions = {},
): Promise<Store> {
  const [, name, revision = 'main', path = ''] =
    /^hf:\/\/datasets\/([^/@]+\/[^/@]+)(?:@([^/]+))?(?:\/(.*))?$/.exec(url) ?? []
  if (name === undefined) {
    throw new ReembedError('USAGE', `Expected hf://datasets/org/name@revision/path, got '${url}'`)
  }
  const origin = endpoint.replace(/\/+$/, '')
  const root = path.replace(/\/+$/, '')
  const headers = { 'user-agent': 'reembed', ...(token && { authorization: `Bearer ${token}` }) }

  /** Overload and broken connections are tried again; the body is the caller's to read. */
  async function request(
    address: string,
    { range, signal }: { range?: string; signal?: AbortSignal | undefined } = {},
  ): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      let failure: string
      let passes = true
      try {
        const response = await fetch(address, {
          headers: { ...headers, ...(range && { range }) },
          signal: signal ?? null,
        })
        if (response.ok || response.status === 404 || response.status === 416) return response
        await response.body?.cancel()
        if (response.status === 401 || response.status === 403) {
          throw new ReembedError(
            'STORE_ACCESS_DENIED',
            `The Hub does not let us read ${name} (HTTP ${response.status}): set HF_TOKEN to a token with access`,
          )
        }
        failure = `HTTP ${response.status}`
        passes = PASSING.includes(response.status) || response.status >= 500
      } catch (error) {
        if (error instanceof ReembedError || signal?.aborted) throw error
        failure = messageOf(error)
      }
      if (!passes || attempt === ATTEMPTS) {
        throw new ReembedError(
          'STORE_UNREACHABLE',
          `The Hub at ${origin} does not answer for ${name}: ${failure}`,
          {
            retry: 'requeue',
          },
        )
      }
      await wait(retryMs * 2 ** (attempt - 1), undefined, { signal })
    }
  }

  /** What the Hub itself answers; a proxy on the way may answer anything with a 200. */
  async function answer(response: Response): Promise<unknown> {
    const body = await response.text()
    try {
      return JSON.parse(body)
    } catch (cause) {
      throw new ReembedError(
        'STORE_UNREACHABLE',
        `The Hub at ${origin} does not answer for ${name} with JSON: is there a proxy in between?`,
        { retry: 'requeue', cause },
      )
    }
  }

  const resolved = await request(`${origin}/api/datasets/${name}/revision/${encodeURIComponent(revision)}`)
  const sha = resolved.ok ? Object(await answer(resolved)).sha : undefined
  if (typeof sha !== 'string') {
    throw new ReembedError(
      'SOURCE_NOT_FOUND',
      `There is no dataset ${name} with the revision '${revision}' on ${origin}`,
    )
  }
  const commit: string = sha

  async function* tree(folder: string, signal?: AbortSignal): AsyncGenerator<TreeEntry, void, undefined> {
    const base = `${origin}/api/datasets/${name}/tree/${commit}/${escaped(folder)}`
    const what = `the listing of ${name} by ${origin} is damaged`
    let next: string | undefined = `${base}?recursive=true&limit=${PAGE}`
    while (next !== undefined) {
      const response = await request(next, { signal })
      if (!response.ok) return
      const entries = await answer(response)
      for (const entry of requireShape<TreeEntry[]>(treeShape, entries, what)) {
        if (!isBelow(entry.path, folder)) throw new ReembedError('CORRUPT', `${what}: it has '${entry.path}'`)
        yield entry
      }
      const [, link] = /<([^>]+)>;\s*rel="next"/.exec(response.headers.get('link') ?? '') ?? []
      // Its cursor and nothing else: the token goes to the Hub, whatever address a reply names.
      const following = link && URL.canParse(link, base) ? base + new URL(link, base).search : undefined
      if (following === next) throw new ReembedError('CORRUPT', `${what}: a page of it is followed by itself`)
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
    let at = start
    for (let attempt = 1; ; attempt++) {
      const range = `bytes=${at}-${end === undefined ? '' : end - 1}`
      const response = await request(`${origin}/datasets/${name}/resolve/${commit}/${escaped(fileOf(key))}`, {
        range,
        signal,
      })
      if (response.status === 416) return
      if (response.status !== 206) {
        await response.body?.cancel()
        if (response.status === 404) throw new ObjectNotFound(`'${key}' in ${url}`)
        throw new ReembedError('CORRUPT', `'${key}' in ${url} is not given by ranges`)
      }
      try {
        for await (const chunk of response.body ?? []) {
          at += chunk.length
          if (at > (end ?? at))
            throw new ReembedError('CORRUPT', `'${key}' in ${url} came with more bytes than asked for`, {
              retry: 'retry',
            })
          yield chunk
        }
        return
      } catch (error) {
        // The connection broke: go on from where it stopped.
        if (error instanceof ReembedError || signal?.aborted || attempt === ATTEMPTS) throw error
      }
    }
  }

  const readOnly = (): never => {
    throw new ReembedError('USAGE', `${url} can only be read: choose a folder or s3:// for the output`, {
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
      // The Hub lists folder by folder; stores list by key. A dataset has some ten thousand files at most.
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
    async [Symbol.asyncDispose]() {},
  }
}

/** Half a character has no place in a URL. */
const isBelow = (path: string, folder: string): boolean => {
  const start = folder === '' ? '' : `${folder}/`
  return path.startsWith(start) && path !== start && path.isWellFormed()
}

const escaped = (path: string): string => path.split('/').map(encodeURIComponent).join('/')
