import { test } from 'vitest'
import { REQUIREMENTS } from '../requirements.ts'

test.each(REQUIREMENTS.slice(1))('$id: passes', () => {})
