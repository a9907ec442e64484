// The fake TEI that users test with, as fast as it can, in a process of its own. Answers each
// question with the texts that it has embedded.

import { startFakeTei } from '@reembed/testing'
import { FAKE } from './wire.ts'

const fake = await startFakeTei({
  ...FAKE,
  servedModelName: 'bench@r1',
  maxConcurrentRequests: 4_096,
  maxBatchTokens: 65_536,
})
process.on('message', () => process.send?.({ inputs: fake.counts.inputs }))
process.on('disconnect', () => process.exit())
process.send?.({ url: fake.url })
