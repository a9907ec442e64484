// The workers that load into a vector store, by their heartbeats.

import { loadOutput, storeKey } from './job.ts'
import { servesOutput, type WorkerState } from './progress.ts'

/** The workers with a heartbeat that load from an output into the store of this address. */
export async function loadersOf(
  queue: { workers(): Promise<readonly WorkerState[]> },
  output: string,
  address: string,
): Promise<WorkerState[]> {
  const served = loadOutput(storeKey(address), output)
  return (await queue.workers()).filter(({ outputs }) => servesOutput(outputs, served))
}

/** Why these workers load nothing; undefined while one of them can. */
export function waitOfLoaders(loaders: readonly WorkerState[], address: string): string | undefined {
  if (loaders.length === 0) return `no worker loads into ${address}: start workers that name it`
  return loaders.every(({ loadFault }) => loadFault !== undefined) ? loaders[0]?.loadFault : undefined
}
