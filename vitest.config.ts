import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { FailureReporter } from './test/failures.ts'
import { LongestFirst } from './test/longest-first.ts'
import { PromiseReporter } from './test/promises.ts'

/** Of projects that start the command as a process. */
const globalSetup = 'test/parts/bundle.ts'

// Tests run from source: the condition resolves workspace packages to their src/.
const conditions = ['@reembed/source']

// Files that take longer than they prove something new: `npm run test:long` runs them. Every
// promise of test/requirements.ts has a test outside this list.
const LONG = [
  'packages/endpoint/test/limiter-fleet.test.ts',
  'test/bounds.test.ts',
  'test/chaos.test.ts',
  'test/console/browser.test.ts',
  'test/console/paint.test.ts',
  'test/ending-crash.test.ts',
  'test/infra/autoscale.test.ts',
  'test/install.test.ts',
  'test/load/fleet.test.ts',
  'test/recipes.test.ts',
  'test/redis/failover.test.ts',
  'test/simulation-mutations.test.ts',
]

// Every combination, and what needs programs of other projects: `npm run test:extended` runs them,
// by hand, in about half an hour.
const EXTENDED = [
  'test/broken-workers.test.ts',
  'test/caps-tried.test.ts',
  'test/deadlines.test.ts',
  'test/endpoint/openai-servers-all.test.ts',
  'test/endpoint/real-servers.test.ts',
  'test/export/load-pages.test.ts',
  'test/load/fleet-kills.test.ts',
  'test/load/follow.test.ts',
  'test/redis/lost-data.test.ts',
  'test/source/delta-tables.test.ts',
  'test/source/hostile-files.test.ts',
  'test/source/postgres-edited.test.ts',
]

export default defineConfig({
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // The default is a second, in which a busy machine may not run a process at all.
    expect: { poll: { timeout: 20_000 } },
    // Many tests wait for other processes. Three files at a time keep two cores busy.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    // Hundreds of processes are started. With a compile cache one of them costs a third of the CPU
    // time.
    env: {
      NODE_COMPILE_CACHE: join(import.meta.dirname, '.cache', 'node'),
    },
    reporters: ['default', new PromiseReporter(), new FailureReporter()],
    projects: [
      {
        extends: true,
        test: { name: 'unit', include: ['packages/*/test/**/*.test.ts'], exclude: [...LONG, ...EXTENDED] },
      },
      {
        extends: true,
        test: {
          name: 'scenarios',
          globalSetup,
          include: ['test/**/*.test.ts'],
          exclude: [...LONG, ...EXTENDED, 'test/cluster/**', '**/node_modules/**'],
          testTimeout: 120_000,
          // Concurrent tests wait for retries, not for a core.
          maxConcurrency: 16,
        },
      },
      {
        extends: true,
        test: { name: 'cluster', include: ['test/cluster/*.test.ts'], testTimeout: 60_000 },
      },
      { extends: true, test: { name: 'long', globalSetup, include: LONG, testTimeout: 180_000 } },
      { extends: true, test: { name: 'extended', globalSetup, include: EXTENDED, testTimeout: 180_000 } },
    ],
  },
})
