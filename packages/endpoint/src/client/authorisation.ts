// Sends the token by the header that the server reads: `authorization`, or `api-key` as Azure
// OpenAI. A server states which only by refusing the other.

import { failureBehind } from './outcome.ts'
import type { Transport } from './transport.ts'

const headersOf = (token: string): readonly (readonly string[])[] => [
  ['authorization', `Bearer ${token}`],
  ['api-key', token],
]

/**
 * Calls `open` with a transport that sends the token, by another header if access is denied.
 * @throws the first error of `open` when no header is accepted
 */
export async function openAuthorised<T>(
  transport: Transport,
  token: string | undefined,
  open: (authorised: Transport) => Promise<T>,
): Promise<T> {
  if (token === undefined || token === '') return open(transport)
  let denied: unknown
  for (const headers of headersOf(token)) {
    try {
      return await open(withHeaders(transport, headers))
    } catch (error) {
      if (failureBehind(error)?.kind !== 'access_denied') throw denied ?? error
      denied ??= error
    }
  }
  throw denied
}

const withHeaders = (transport: Transport, headers: readonly string[]): Transport => ({
  exchange: (options, read) =>
    transport.exchange({ ...options, headers: [...headers, ...(options.headers ?? [])] }, read),
  [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose](),
})
