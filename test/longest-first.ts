// The order in which test files start. A long file that starts last keeps one worker busy while the
// others have nothing to do, and a fresh clone has no recorded durations to sort by.

import { fileURLToPath } from 'node:url'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Files that take about 15 s and more on two cores, three at a time. Their order matters alone. */
export const SECONDS: Readonly<Record<string, number>> = {
  'test/install.test.ts': 168,
  'test/recipes.test.ts': 118,
  'test/console/browser.test.ts': 102,
  'test/chaos.test.ts': 90,
  'test/infra/autoscale.test.ts': 74,
  'test/fleet.test.ts': 70,
  'test/redis/failover.test.ts': 50,
  'test/simulation-mutations.test.ts': 50,
  'test/bounds.test.ts': 47,
  'test/load/qdrant.test.ts': 46,
  'test/source/formats.test.ts': 42,
  'test/gc.test.ts': 37,
  'test/limits.test.ts': 35,
  'test/load/fleet.test.ts': 35,
  'test/carry.test.ts': 34,
  'test/resume.test.ts': 31,
  'test/traces.test.ts': 31,
  'test/source/chunks.test.ts': 30,
  'test/infra/image.test.ts': 29,
  'test/proxy.test.ts': 28,
  'test/ending-crash.test.ts': 27,
  'test/gates.test.ts': 26,
  'test/demo.test.ts': 25,
  'test/nonsense.test.ts': 25,
  'test/silent.test.ts': 25,
  'packages/endpoint/test/limiter-fleet.test.ts': 24,
  'test/endpoint/cold.test.ts': 24,
  'test/schedule.test.ts': 24,
  'packages/store/test/store-s3.test.ts': 22,
  'test/export/hostile-names.test.ts': 22,
  'test/shard/write.test.ts': 22,
  'test/doctor-store.test.ts': 21,
  'test/endpoint/replicas.test.ts': 21,
  'test/queue.test.ts': 21,
  'test/simulation.test.ts': 21,
  'packages/worker/test/poison.test.ts': 20,
  'test/console/served.test.ts': 20,
  'test/outputs.test.ts': 20,
  'packages/worker/test/canary.test.ts': 19,
  'test/preview.test.ts': 19,
  'test/sdk.test.ts': 17,
  'test/bad-input/files.test.ts': 16,
  'test/endpoint/hf-run.test.ts': 16,
  'test/load/elasticsearch.test.ts': 16,
}

const ROOT = fileURLToPath(new URL('..', import.meta.url))

const secondsOf = (path: string): number => SECONDS[path.slice(ROOT.length)] ?? 0

/** Files of SECONDS first, the longest at the front. The others keep their order. */
export const longestFirst = <File extends { readonly moduleId: string }>(files: readonly File[]): File[] =>
  files.toSorted((a, b) => secondsOf(b.moduleId) - secondsOf(a.moduleId))

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return longestFirst(await super.sort(files))
  }
}
