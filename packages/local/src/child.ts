import type { ChildProcess } from 'node:child_process'

/** From now on the child, its pipes and its channel keep nobody's event loop alive. */
export function letGo(child: ChildProcess): void {
  for (const part of [child, child.channel, ...child.stdio]) {
    // Pipes are sockets in Node, with an unref() that their declared types do not have.
    if (part && 'unref' in part && typeof part.unref === 'function') part.unref()
  }
}
