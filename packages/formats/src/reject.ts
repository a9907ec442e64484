// Makes the rejects of every format.

import type { Position, Reject, RejectReason } from '@reembed/protocol'

const MAX_MESSAGE_CHARS = 200

/**
 * Makes a reject whose message is safe to print: one line of bounded length without control
 * characters.
 */
export function createReject(reason: RejectReason, message: string, position: Position, id?: string): Reject {
  const plain = message.replace(/\p{C}+/gu, ' ')
  const short = plain.length > MAX_MESSAGE_CHARS ? `${plain.slice(0, MAX_MESSAGE_CHARS - 3)}...` : plain
  return { kind: 'reject', ...(id !== undefined && { id }), reason, message: short, position }
}
