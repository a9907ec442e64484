// The actor that a command records with a decision.

import { hostname, userInfo } from 'node:os'
import type { Actor } from '@reembed/protocol'

export interface ReasonFlag {
  readonly reason?: string
}

/** The user of this process on this machine, with the reason that they gave. */
export const actorOf = ({ reason }: ReasonFlag): Actor => ({ by: `${userName()}@${hostname()}`, reason })

/** A container may run with a user id that has no name. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return `uid ${process.getuid?.() ?? 'unknown'}`
  }
}
