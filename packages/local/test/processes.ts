import { setTimeout } from 'node:timers/promises'

/** Resolves when no process has this id. A process that is not our child gives no event, so it is asked for. */
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
