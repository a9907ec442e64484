// A suite with a failed test. failures.test.ts runs it to prove what the end of a log shows.

import { defineConfig, type ViteUserConfig } from 'vitest/config'
import { FailureReporter } from '../failures.ts'

const config: ViteUserConfig = defineConfig({
  test: { reporters: ['dot', new FailureReporter()], include: ['failing.case.ts'] },
})
// biome-ignore lint/style/noDefaultExport: vitest reads the default export
export default config
