// The program of a TEI pod: tei-pod.ts ADDRESS --model-id=... --revision=... [other flags of TEI]

import { parseArgs } from 'node:util'
import { startFakeTei } from '@reembed/testing'

const [hostname = '', ...args] = process.argv.slice(2)
const { values } = parseArgs({
  args,
  strict: false,
  options: { 'model-id': { type: 'string' }, revision: { type: 'string' } },
})
const { PORT, API_KEY, LOAD_SECONDS = '3', MS_PER_TOKEN = '0.5' } = process.env
const tei = await startFakeTei({
  hostname,
  port: Number(PORT),
  model: String(values['model-id']),
  sha: String(values.revision),
  dimensions: 16,
  msPerToken: Number(MS_PER_TOKEN),
  warmUpMs: 1000 * Number(LOAD_SECONDS),
  maxClientBatchSize: 64,
  ...(API_KEY && { apiKey: API_KEY }),
})
process.once('SIGTERM', async () => {
  await tei.stop()
  process.exit(0)
})
setInterval(() => {}, 60_000)
