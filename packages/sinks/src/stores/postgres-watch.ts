// A statement of PostgreSQL may take hours, and its connection is silent meanwhile. So a second
// connection asks the server from time to time; without a reply, the first one is closed.

import type { Socket } from 'node:net'
import { codeOf, deadlines, type Wait } from '@reembed/shared'
import type { Client, ClientBase } from 'pg'

/** A cancelled statement that has not ended after this time waits for a silent server. */
const CANCEL_MS = 2_000
/** A single connection may be refused or lost although the server works. */
const MAX_LOST_PROBES = 2
const SQLSTATE = /^[0-9A-Z]{5}$/

type Connected = { readonly processID: number; readonly connection: { readonly stream: Socket } }

/** What the types of the client leave out. */
export const connectionOf = (client: ClientBase): Connected['connection'] =>
  (client as unknown as Connected).connection

export interface StatementWatch {
  /** Why the connection was closed; undefined if it was not. */
  readonly failure: Error | undefined
  /** Cancels the statement in progress, and closes the connection if the server does not reply. */
  readonly cancel: () => void
  end(): void
}

/** Watches the statements of a connection until `end`. `connect` creates the second connection. */
export function watchStatement(client: ClientBase, create: () => Client, wait: Wait): StatementWatch {
  const { processID, connection } = client as unknown as Connected
  const { probeMs } = deadlines().sink
  let failure: Error | undefined
  let timer: NodeJS.Timeout | undefined
  let isOver = false
  let lost = 0
  // Without a listener, the loss of the connection would end the process. The statement reports it.
  const ignore = (): void => {}
  client.on('error', ignore)

  const close = (error: Error): void => {
    if (isOver) return
    failure ??= error
    wait.gaveUp()
    connection.stream.destroy(error)
  }

  // The process ids that a pooler tells are invented, and those of a replica mean other processes.
  async function ask(sql: string): Promise<void> {
    const other = create()
    other.on('error', ignore)
    try {
      await other.connect()
      const told = other as unknown as Connected
      const isSameHost = told.connection.stream.remoteAddress === connection.stream.remoteAddress
      const { rowCount } = await other.query(sql, [processID, isSameHost ? told.processID : 0])
      lost = 0
      if (rowCount === 0) close(new Error('the connection is closed on the server'))
      else wait.answered()
    } catch (error) {
      // A refusal is a reply, for example that all connections are in use.
      if (SQLSTATE.test(codeOf(error) ?? '')) wait.answered()
      else if (++lost >= MAX_LOST_PROBES) close(error instanceof Error ? error : new Error(String(error)))
    } finally {
      other.end().catch(ignore)
    }
  }

  const watch = (): void => {
    timer = setTimeout(async () => {
      await ask('SELECT 1 FROM pg_stat_activity WHERE pid = $1 OR pg_backend_pid() <> $2')
      if (!isOver) watch()
    }, probeMs)
    timer.unref()
  }
  watch()
  return {
    get failure() {
      return failure
    },
    cancel: () => {
      void ask('SELECT pg_cancel_backend($1) WHERE pg_backend_pid() = $2')
      setTimeout(() => close(new Error('no reply to a cancellation')), CANCEL_MS).unref()
    },
    end() {
      isOver = true
      clearTimeout(timer)
      client.off('error', ignore)
    },
  }
}
