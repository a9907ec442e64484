// Which host sees which secret: each client is led to a server that records the headers, with every
// variable set, and again to servers that redirect.

import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { openIndex, openVectorStore } from '@reembed/sinks'
import { afterEach, expect, test, vi } from 'vitest'
import { documents, temporaryFolder, writeJsonl } from './parts/cli.ts'
import { inProcess } from './parts/in-process.ts'

const SECRETS = {
  HF_TOKEN: 'hf_secret-of-the-hub',
  REEMBED_ENDPOINT_TOKEN: 'secret-of-the-endpoint',
  REEMBED_METRICS_TOKEN: 'secret-of-the-metrics',
  REEMBED_HOOK_SECRET: 'secret-of-the-hooks',
  AWS_ACCESS_KEY_ID: 'id',
  AWS_SECRET_ACCESS_KEY: 'secret-of-the-store',
  QDRANT_API_KEY: 'secret-of-qdrant',
  ELASTIC_API_KEY: 'secret-of-elasticsearch',
  MILVUS_TOKEN: 'secret-of-milvus',
}
type Variable = keyof typeof SECRETS

const stack: AsyncDisposable[] = []
afterEach(async () => {
  for (const each of stack.splice(0)) await each[Symbol.asyncDispose]()
})

interface Host {
  readonly url: string
  readonly requests: number
  /** The variables whose secrets were in a header, a path or a body. */
  readonly seen: readonly string[]
}

/** A server on loopback that records what it gets. */
async function host(answer: RequestListener = (_, response) => response.writeHead(404).end()): Promise<Host> {
  const seen = new Set<string>()
  let requests = 0
  const server = createServer(async (request, response) => {
    requests += 1
    let sent = `${request.url}\n${request.rawHeaders.join('\n')}`
    for await (const piece of request) sent += String(piece)
    for (const [name, secret] of Object.entries(SECRETS))
      if (secret !== 'id' && sent.includes(secret)) seen.add(name)
    answer(request, response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  stack.push({
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
    },
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    get requests() {
      return requests
    },
    get seen() {
      return [...seen]
    },
  }
}

const redirectTo = ({ url }: Host): RequestListener => {
  return ({ url: path }, response) => response.writeHead(307, { location: `${url}${path}` }).end()
}

async function folder(): Promise<string> {
  const made = await temporaryFolder()
  stack.push(made)
  return made.path
}

/** The clients: the command that leads one to a host, and the variables that the host may see. */
const CLIENTS: readonly {
  readonly client: string
  readonly args?: (at: string, folder: string) => readonly string[] | Promise<readonly string[]>
  /** Instead of a command. */
  readonly open?: (at: string) => Promise<unknown>
  readonly env?: (at: string) => Record<string, string>
  readonly sees: readonly Variable[]
}[] = [
  {
    client: 'the endpoint client',
    args: at => ['doctor', '--endpoint', at],
    sees: ['REEMBED_ENDPOINT_TOKEN'],
  },
  {
    client: 'the endpoint client of two replicas',
    args: at => ['doctor', '--endpoint', `${at},${at}/other`],
    sees: ['REEMBED_ENDPOINT_TOKEN'],
  },
  {
    client: 'the endpoint client of a run',
    args: async (at, folder) => [
      ...['run', '--source', await writeJsonl(join(folder, 'corpus.jsonl'), documents(3))],
      ...['--output', join(folder, 'vectors'), '--endpoint', at],
    ],
    sees: ['REEMBED_ENDPOINT_TOKEN'],
  },
  {
    client: 'the management API of Hugging Face',
    args: () => ['endpoint', 'status', 'hf:acme/bge'],
    env: at => ({ REEMBED_HF_API: at }),
    sees: ['HF_TOKEN'],
  },
  {
    client: 'the Hub, for a dataset',
    args: () => ['plan', '--source', 'hf://datasets/acme/corpus'],
    env: at => ({ HF_ENDPOINT: at }),
    sees: ['HF_TOKEN'],
  },
  {
    client: 'the Hub, for a commit',
    args: () => [
      ...['endpoint', 'deploy', 'acme/bge', '--as', 'hf:acme/bge', '--instance', 'nvidia-a10g-x1'],
    ],
    env: at => ({ HF_ENDPOINT: at }),
    sees: ['HF_TOKEN'],
  },
  {
    client: 'the S3 client',
    args: () => ['ls', '--output', 's3://bucket/vectors'],
    env: at => ({ AWS_ENDPOINT_URL_S3: at, AWS_REGION: 'us-east-1' }),
    sees: [],
  },
  {
    client: 'the client of Qdrant',
    args: at => ['doctor', '--store', `qdrant+${at}?collection=docs`],
    sees: ['QDRANT_API_KEY'],
  },
  {
    client: 'the source of Qdrant',
    args: at => ['plan', '--source', `qdrant+${at}?collection=docs`],
    sees: ['QDRANT_API_KEY'],
  },
  {
    client: 'the client of Elasticsearch',
    open: at => openVectorStore(`elasticsearch+${at}`),
    sees: ['ELASTIC_API_KEY'],
  },
]

/** Leads a client to a host, with every variable set. */
async function lead({ args, open, env = () => ({}) }: (typeof CLIENTS)[number], at: string): Promise<void> {
  const variables = { ...SECRETS, ...env(at) }
  if (args) await inProcess(await args(at, await folder()), variables)
  else {
    for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value)
    await open?.(at).catch(() => {})
    vi.unstubAllEnvs()
  }
}

test.each(CLIENTS)('$client sends $sees alone, and nothing to where a redirect leads', async client => {
  const direct = await host()
  await lead(client, direct.url)
  expect(direct.requests).toBeGreaterThan(0)
  expect(direct.seen).toEqual(client.sees)

  const elsewhere = await host()
  const first = await host(redirectTo(elsewhere))
  await lead(client, first.url)
  expect(first.requests).toBeGreaterThan(0)
  expect(elsewhere.seen).toEqual([])
})

test('HF_TOKEN is not sent to an endpoint of another host, also if no other token is set', async () => {
  const { HF_TOKEN } = SECRETS
  const third = await host()
  await inProcess(['doctor', '--endpoint', third.url], { HF_TOKEN })
  expect(third.requests).toBeGreaterThan(0)
  expect(third.seen).toEqual([])
})

test.each(['http://tei.example:8080', 'http://[::ffff:10.0.0.5]:8080', 'http://localhost.example:80'])(
  'no token is sent over plain HTTP to %s',
  async at => {
    for (const args of [
      ['doctor', '--endpoint', at],
      ['embed', 'text', '--endpoint', `dns+${at}`],
    ]) {
      const { code, stderr, stdout } = await inProcess(args, SECRETS)
      expect(code).not.toBe(0)
      expect(`${stderr}${stdout}`).toContain('the token would be sent to http://')
    }
    const api = await inProcess(['endpoint', 'status', 'hf:a/b'], { ...SECRETS, REEMBED_HF_API: at })
    expect(api.stderr).toContain('the token would be sent to http://')
    const hub = await inProcess(['plan', '--source', 'hf://datasets/a/b'], { ...SECRETS, HF_ENDPOINT: at })
    expect(hub.stderr).toMatch(/token would be sent to http:\/\/.* unencrypted/)
    const source = await inProcess(['plan', '--source', `qdrant+${at}?collection=docs`], SECRETS)
    expect(source.stderr).toContain('key of the vector store would be sent to http://')
    const store = await inProcess(['doctor', '--store', `qdrant+${at}?collection=docs`], SECRETS)
    expect(`${store.stdout}${store.stderr}`).toContain('key of the vector store would be sent to http://')
    for (const kind of ['elasticsearch', 'opensearch', 'milvus', 'qdrant'])
      await expect(openVectorStore(`${kind}+${at.replace('//', '//user:key@')}`)).rejects.toThrow(
        /key of the vector store would be sent to http:\/\/.* unencrypted/,
      )
  },
)

test('a key of a vector store over plain HTTP is accepted where its URL allows it, and the address has no parameter', async () => {
  const url = 'qdrant+http://user:key@qdrant.example:6333?insecure=true'
  expect((await openVectorStore(url)).address).toBe('qdrant+http://qdrant.example:6333')
})

test('a key of an index over plain HTTP is refused with the option that names the index', async () => {
  for (const kind of ['elasticsearch', 'qdrant'])
    await expect(
      openIndex(`${kind}+http://user:key@host.example:80?index=docs&collection=docs`),
    ).rejects.toMatchObject({ code: 'USAGE', option: 'store' })
})
