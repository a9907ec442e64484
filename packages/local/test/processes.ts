import { setTimeout } from 'node:timers/promises'

/**
 * Polls until no process has this id. A process that is not a child of this one emits no exit
 * event.
 */
export async function ended(pid: number, withinMs = 10_000): Promise<void> {
  const deadline = Date.now() + withinMs
  while (isAlive(pid)) {
    if (Date.now() > deadline) throw new Error(`process ${pid} is still there after ${withinMs} ms`)
    await setTimeout(10)
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
