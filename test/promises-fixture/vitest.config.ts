// A suite of two files. requirements.test.ts runs it to prove what the reporter does with a skipped
// test.

import { defineConfig, type ViteUserConfig } from 'vitest/config'
import { PromiseReporter } from '../promises.ts'

const config: ViteUserConfig = defineConfig({
  test: {
    reporters: ['dot', new PromiseReporter()],
    projects: [
      { extends: true, test: { name: 'unit', include: ['others.case.ts'] } },
      { extends: true, test: { name: 'scenarios', include: ['first.case.ts'] } },
    ],
  },
})
// biome-ignore lint/style/noDefaultExport: vitest reads the default export
export default config
