import { test } from 'vitest'
import { REQUIREMENTS } from '../requirements.ts'

test.skipIf(process.env.SKIP_FIRST)(`${REQUIREMENTS[0]?.id}: passes unless it is skipped`, () => {})
test('a test without a promise passes', () => {})
