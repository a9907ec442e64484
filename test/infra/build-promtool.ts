// npm run promtool: builds promtool for test/infra/alerts.test.ts.

import { buildPromtool, promtool } from './parts/promtool.ts'

process.stdout.write(`${promtool ?? (await buildPromtool())}\n`)
