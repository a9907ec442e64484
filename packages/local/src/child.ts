import type { ChildProcess } from 'node:child_process'

/** Lets the parent exit while the child runs: unrefs the child, its pipes and its channel. */
export function letGo(child: ChildProcess): void {
  for (const part of [child, child.channel, ...child.stdio]) {
    // In Node pipes are sockets with an unref() method, which their declared types lack.
    if (part && 'unref' in part && typeof part.unref === 'function') part.unref()
  }
}
