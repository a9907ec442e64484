// Renders each profile of the chart into infra/manifests/: pnpm --filter @reembed/test manifests

import { writeFile } from 'node:fs/promises'
import { goldenPath, noRenderer, profiles, render } from './parts/chart.ts'

if (noRenderer !== null) throw new Error(noRenderer)
for (const profile of profiles) {
  const { text, failure } = await render(profile)
  if (failure !== null) throw new Error(`${profile}: ${failure}`)
  await writeFile(goldenPath(profile), text)
}
