import { defineConfig } from 'vitest/config'

// Tests run from source: the condition resolves workspace packages to their src/.
const conditions = ['@reembed/source']

export default defineConfig({
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Many tests wait for other processes; on two cores one test file at a time, the default, takes half as long again.
    maxWorkers: 2,
    projects: [
      { extends: true, test: { name: 'unit', include: ['packages/*/test/**/*.test.ts'] } },
      { extends: true, test: { name: 'scenarios', include: ['test/**/*.test.ts'], testTimeout: 120_000 } },
    ],
  },
})
