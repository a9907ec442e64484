// The S3 server of the tests in a process of its own.

import { startS3Server } from '@reembed/testing'

const { endpoint, env } = await startS3Server({ buckets: ['bench'] })
process.on('disconnect', () => process.exit())
process.send?.({ endpoint, env })
