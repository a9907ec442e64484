// A client of the Kubernetes API with one token.

import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { json } from 'node:stream/consumers'
import type { Manifest } from '../infra/parts/chart.ts'

export interface Api {
  /** Reads an object or a list; undefined if it does not exist. */
  get(path: string): Promise<Manifest>
  create(path: string, object: Manifest): Promise<Manifest>
  /** A merge patch, or with `strategic` a strategic merge patch. */
  patch(path: string, change: Manifest, kind?: 'merge' | 'strategic'): Promise<Manifest>
  delete(path: string, options?: Manifest): Promise<void>
  /**
   * Applies objects, server-side, with strict field validation.
   * @returns the warnings of the server
   */
  apply(objects: readonly Manifest[], namespace?: string): Promise<string[]>
  /** The events of a watch, until the server ends it or `signal` aborts. */
  watch(
    path: string,
    signal: AbortSignal,
  ): AsyncIterable<{ readonly type: string; readonly object: Manifest }>
}

export class ApiError extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** Plurals are regular, except for these. */
const PLURALS: Readonly<Record<string, string>> = {
  NetworkPolicy: 'networkpolicies',
  Ingress: 'ingresses',
}
const CLUSTER_WIDE = new Set([
  'APIService',
  'ClusterRole',
  'ClusterRoleBinding',
  'CustomResourceDefinition',
  'Namespace',
  'ValidatingWebhookConfiguration',
])

/** The path of an object, for example `/apis/apps/v1/namespaces/a/deployments/b`. */
export function pathOf({ apiVersion, kind, metadata }: Manifest, namespace?: string): string {
  const group = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  const plural = PLURALS[kind] ?? `${kind.toLowerCase()}s`
  const scope = CLUSTER_WIDE.has(kind) ? '' : `/namespaces/${metadata.namespace ?? namespace}`
  return `${group}${scope}/${plural}/${metadata.name}`
}

/** Opens a client of the API server at `https://127.0.0.1:<port>`. */
export function openApi(port: number, ca: string, token: string): Api {
  async function send(
    method: string,
    path: string,
    body?: { readonly type: string; readonly content: Manifest },
    signal?: AbortSignal,
  ): Promise<IncomingMessage> {
    const text = body && JSON.stringify(body.content)
    const sent = request({
      host: '127.0.0.1',
      port,
      ca,
      method,
      path,
      headers: {
        authorization: `Bearer ${token}`,
        accept: 'application/json',
        // Node states no length of the body of a DELETE by itself.
        ...(text !== undefined && { 'content-type': body?.type, 'content-length': Buffer.byteLength(text) }),
      },
      ...(signal && { signal }),
    })
    sent.end(text)
    const [reply] = (await once(sent, 'response')) as [IncomingMessage]
    if ((reply.statusCode ?? 0) < 400) return reply
    const failure = (await json(reply).catch(() => ({}))) as { message?: string }
    throw new ApiError(
      reply.statusCode ?? 0,
      `${method} ${path}: ${reply.statusCode} ${failure.message ?? ''}`,
    )
  }
  const call = async (method: string, path: string, type?: string, content?: Manifest): Promise<Manifest> =>
    json(await send(method, path, type === undefined ? undefined : { type, content }))

  return {
    get: path =>
      call('GET', path).catch(error => {
        if (error instanceof ApiError && error.status === 404) return undefined
        throw error
      }),
    create: (path, object) => call('POST', path, 'application/json', object),
    patch: (path, change, kind = 'merge') =>
      call('PATCH', path, `application/${kind === 'merge' ? 'merge' : 'strategic-merge'}-patch+json`, change),
    async delete(path, options = {}) {
      await call('DELETE', path, 'application/json', options).catch(error => {
        if (!(error instanceof ApiError && error.status === 404)) throw error
      })
    },
    async apply(objects, namespace) {
      const warnings: string[] = []
      for (const object of objects) {
        const path = `${pathOf(object, namespace)}?fieldManager=test&force=true&fieldValidation=Strict`
        const reply = await send('PATCH', path, { type: 'application/apply-patch+yaml', content: object })
        reply.resume()
        const { warning } = reply.headers
        if (warning !== undefined) warnings.push(`${object.kind}/${object.metadata.name}: ${warning}`)
      }
      return warnings
    },
    async *watch(path, signal) {
      const reply = await send('GET', path, undefined, signal)
      let rest = ''
      for await (const chunk of reply.setEncoding('utf8')) {
        const lines = (rest + chunk).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) yield JSON.parse(line)
      }
    },
  }
}
