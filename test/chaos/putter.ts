// One of many processes that put the same key: tries each key that it receives, with a body of its
// own.

import { messageOf } from '@reembed/shared'
import { openStore } from '@reembed/store'
import type { Answer, Put } from './keys.ts'

const [, , url = '', number = ''] = process.argv
const store = await openStore(url)
const say = (answer: Answer): void => void process.send?.(answer)

process.on('message', ({ key }: Put) => {
  store.putIfAbsent(key, Buffer.from(`of ${number}`)).then(
    outcome => say({ outcome }),
    (error: unknown) => say({ outcome: 'failed', message: messageOf(error) }),
  )
})
process.on('disconnect', () => process.exit())
// Ready.
say({ outcome: 'exists' })
