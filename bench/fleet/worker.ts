// One worker process of the fleet bench.

import { openLog } from '@reembed/telemetry'
import { startWorker } from '@reembed/worker'

const [, , url = '', redis = '', output = ''] = process.argv
const worker = await startWorker({
  redis,
  endpoint: url,
  outputs: [output],
  log: openLog({ level: 'error' }),
})
process.send?.('ready')
process.on('disconnect', async () => {
  await worker[Symbol.asyncDispose]()
  process.exit()
})
