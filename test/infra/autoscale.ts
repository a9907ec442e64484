// The autoscaler simulation at length: `pnpm --filter @reembed/test autoscale` (200,000 documents,
// 8 workers, 2 kills).

import { parseArgs } from 'node:util'
import { simulate } from './parts/simulation.ts'

const { values } = parseArgs({
  options: {
    documents: { type: 'string', default: '200000' },
    replicas: { type: 'string', default: '8' },
    kills: { type: 'string', default: '2' },
    // Workers sweep in real time, every 45 s at the longest: the last of them must live that long.
    speed: { type: 'string', default: '6' },
  },
})
let last = ''
const report = await simulate({
  documents: Number(values.documents),
  documentsPerShard: Math.ceil(Number(values.documents) / 400),
  replicas: Number(values.replicas),
  kills: Number(values.kills),
  speed: Number(values.speed),
  msPerToken: 0.08,
  onStep({ atS, counts, value, replicas }) {
    const line = `replicas ${replicas}  value ${value}  ${JSON.stringify(counts)}`
    if (line.split('  ')[0] !== last.split('  ')[0]) process.stderr.write(`${Math.round(atS)} s  ${line}\n`)
    last = line
  },
})
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
const { documents, rows, verified, codes } = report
if (rows !== documents || !verified || codes.some(code => code !== 0)) {
  process.stderr.write(
    `BROKEN: ${rows} rows published of ${documents} documents, or a worker that ended badly\n`,
  )
  process.exitCode = 1
}
