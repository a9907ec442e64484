// Writes the dashboards into the chart. Compose mounts them from there.

import { writeFileSync } from 'node:fs'
import { dashboards } from './dashboards.ts'

for (const [name, dashboard] of Object.entries(dashboards)) {
  const path = new URL(`../helm/reembed/files/dashboards/${name}`, import.meta.url)
  writeFileSync(path, `${JSON.stringify(dashboard, null, 2)}\n`)
}
