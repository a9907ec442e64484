// Failures of PostgreSQL as errors of reembed. The codes are those of the PostgreSQL manual,
// Appendix A, "PostgreSQL Error Codes".

import { codeOf, messageOf, openFilesReason, ReembedError } from '@reembed/shared'

/** Classes and codes of failures that pass by themselves. */
const TRANSIENT = /^(08...|40001|40P01|53300|55P03|57P0[123]|57014)$/
const DENIED = /^(28...|42501)$/
const SQLSTATE = /^[0-9A-Z]{5}$/
const NETWORK = /^E[A-Z_]+$/

/** The failure of a statement or a connection; any other error unchanged. */
export function postgresError(cause: unknown, address: string): unknown {
  if (cause instanceof ReembedError) return cause
  const openFiles = openFilesReason(cause)
  if (openFiles) return new ReembedError('STORE_ACCESS_DENIED', `cannot connect to ${address}: ${openFiles}`)
  const code = codeOf(cause) ?? ''
  const message = messageOf(cause)
  // Without a code: the client has no password, and the server asks for one.
  if (DENIED.test(code) || /^SASL\b/.test(message)) {
    return new ReembedError(
      'STORE_ACCESS_DENIED',
      `${address} denies access: ${message}; check user, password and rights`,
      { cause },
    )
  }
  if (TRANSIENT.test(code) || NETWORK.test(code) || /timeout|terminated|closed/i.test(message)) {
    return new ReembedError(
      'STORE_UNREACHABLE',
      `${address} does not answer (${NETWORK.test(code) ? code : message}): start it, or correct its address`,
      {
        retry: 'requeue',
        cause,
      },
    )
  }
  if (/extension "vector"/.test(message)) {
    return new ReembedError(
      'USAGE',
      `${address} has no pgvector: ${message}; install pgvector on the server`,
      { cause },
    )
  }
  // Other failures are not the server's.
  if (!SQLSTATE.test(code)) return cause
  return new ReembedError('USAGE', `${address} refuses the load: ${message}`, { cause })
}

/**
 * Creates a client, which reads the files that the URL names.
 * @throws ReembedError USAGE for a parameter that cannot be used, such as a certificate that does
 * not exist
 */
export function createClient<T>(create: () => T, address: string): T {
  try {
    return create()
  } catch (cause) {
    throw new ReembedError(
      'USAGE',
      `the parameters of the URL of ${address} cannot be used: ${messageOf(cause)}; correct them`,
      { cause },
    )
  }
}
