import type { ModelIdentity } from '@reembed/protocol'
import { expect, test } from 'vitest'
import { openTokenizerSource } from '../src/tokenizer.ts'

const MODEL: ModelIdentity = { id: 'm', revision: null, dimensions: 8, pooling: 'mean', normalized: true }

test('a tokenizer that is a device, which never ends, is refused before it is read', async () => {
  await expect(openTokenizerSource({ tokenizer: '/dev/zero' }, {}, MODEL).local()).rejects.toMatchObject({
    code: 'USAGE',
    message: "the tokenizer '/dev/zero' cannot be read: it is not a regular file",
  })
})
