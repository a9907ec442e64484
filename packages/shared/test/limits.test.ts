import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { LIMITS } from '../src/limits.ts'

test('the table of limits in docs/operate.md has each limit with its value', () => {
  const docs = readFileSync(new URL('../../../docs/operate.md', import.meta.url), 'utf8')
  const documented = Object.fromEntries(
    docs
      .matchAll(/^\| `(\w+)` \| [^|]+ \| ([\d,]+)(?: (KiB|MiB))? \|$/gm)
      .map(([, name, value = '', unit]) => {
        const factor = unit === 'MiB' ? 2 ** 20 : unit === 'KiB' ? 2 ** 10 : 1
        return [name, Number(value.replaceAll(',', '')) * factor]
      }),
  )
  expect(documented).toEqual(LIMITS)
})
