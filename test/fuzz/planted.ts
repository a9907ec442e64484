// A fault that random inputs do not reach: finding it proves that coverage guides the fuzzer.

import type { Target } from './target.ts'

export const target: Target = {
  what: 'a planted fault',
  seeds: () => [Buffer.from('hello')],
  check(input) {
    if (input.length < 12) return
    if (input[0] === 0x52 && input[1] === 0x45) {
      if (input.readUInt32LE(2) === 0xcafebabe) {
        let sum = 0
        for (const byte of input.subarray(6, 10)) sum += byte
        if (sum === 777 && input.toString('latin1', 10) === 'embed') throw new TypeError('planted')
      }
    }
  },
}
