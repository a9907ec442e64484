// The tests of a file that share one cluster.

import { afterAll, beforeAll, describe } from 'vitest'
import { type Cluster, startCluster } from './cluster.ts'

/**
 * Declares tests on a cluster that is started before the first one. Where `missing` states why no
 * cluster can be started, they are skipped, with that reason in their name.
 */
export function describeOnCluster(
  name: string,
  { missing, keda = false }: { readonly missing: string | undefined; readonly keda?: boolean },
  tests: (cluster: () => Cluster) => void,
): void {
  describe.skipIf(missing)(`${name}${missing ? ` (not run: ${missing})` : ''}`, () => {
    let cluster: Cluster
    beforeAll(async () => {
      cluster = await startCluster({ keda })
    }, 180_000)
    afterAll(async () => {
      await cluster?.[Symbol.asyncDispose]()
    }, 60_000)
    tests(() => cluster)
  })
}
