// Errors of the SDK as a discriminated union: checking `code` narrows the type.

import { type ErrorCode, ReembedError } from '@reembed/shared'

/**
 * A failure with exactly this code.
 *
 * - `message`: what failed, with the value and the place, then the fix.
 * - `option`: the option of the request that the fix concerns, as a dotted path
 *   (`'chunking.maxTokens'`).
 * - `reason`: the case within the code, for example `'budget_exceeded'` of `RUN_STOPPED`.
 * - `retry`: `'requeue'` for overload, a cold start or an outage; `'retry'` where another attempt
 *   can succeed; else
 *   `'never'`. `retryAfterMs` is the shortest wait, in milliseconds, where the other side states one.
 */
export type ReembedFailure<Code extends ErrorCode = ErrorCode> = {
  [C in Code]: ReembedError & { readonly code: C }
}[Code]

/**
 * Whether an error is a failure of reembed, and, where codes are given, one of these. Every other
 * error is a bug, an abort (`signal.reason`) or an error of the program's own callbacks.
 *
 * @example
 * ```ts
 * import { createReembed, isReembedError } from 'reembed'
 *
 * await using reembed = createReembed({ output: './vectors' })
 * try {
 *   await reembed.verify()
 * } catch (error) {
 *   if (!isReembedError(error)) throw error
 *   switch (error.code) {
 *     case 'RUN_NOT_FOUND':
 *       console.error('nothing is published yet')
 *       break
 *     case 'CORRUPT':
 *     case 'UNBALANCED':
 *     case 'DUPLICATE_ID':
 *       console.error(`the run is damaged: ${error.message}`)
 *       break
 *     default:
 *       throw error
 *   }
 * }
 * ```
 */
export function isReembedError<Code extends ErrorCode = ErrorCode>(
  error: unknown,
  ...codes: readonly Code[]
): error is ReembedFailure<Code> {
  if (!(error instanceof ReembedError)) return false
  return codes.length === 0 || codes.some(code => code === error.code)
}
