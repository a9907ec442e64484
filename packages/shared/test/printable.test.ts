import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { printable, printableLines, shellWord } from '../src/printable.ts'

// The same examples in each run.
fc.configureGlobal({ seed: 1 })

/** Any text, and text of what is dangerous on a terminal and in a shell. */
const hostile = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .array(
      fc.constantFrom(
        ...['\u001b[2J', '\u001b]0;title\u0007', '\u009b31m', '\r', '\n', '\t', '\u202e', '\u2066', '\u0000'],
        ...[
          "'",
          '"',
          '`',
          '$(touch pwned)',
          '$HOME',
          '\\',
          ';',
          '&',
          '|',
          '>',
          '<',
          '*',
          '~',
          '#',
          '!',
          ' ',
          '-',
        ],
        ...['a', 'é', '日本', '😀'],
      ),
    )
    .map(parts => parts.join('')),
)

describe('printable', () => {
  test('leaves no control character, line break or mark of direction, whatever the text', () => {
    fc.assert(
      fc.property(hostile, text => {
        expect(printable(text)).not.toMatch(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u)
        expect(printableLines(text)).not.toMatch(/[^\P{Cc}\n\t]|[\u2028\u2029\u202a-\u202e\u2066-\u2069]/u)
      }),
      { numRuns: 1_000 },
    )
  })

  test('shows what it escapes, and leaves other text as it is', () => {
    expect(printable('a\u001b[31mred\r\nb\tc\u202e')).toBe('a\\u001b[31mred\\r\\nb\\tc\\u202e')
    expect(printableLines('a\n\tb\u0007')).toBe('a\n\tb\\u0007')
    // A hyperlink, and text for the clipboard.
    expect(printable('\u001b]8;;http://a\u001b\\\u001b]52;c;eA==\u0007')).toBe(
      '\\u001b]8;;http://a\\u001b\\\\u001b]52;c;eA==\\u0007',
    )
    for (const text of ['größer, 日本語 😀', '\\n', "it's"]) expect(printable(text)).toBe(text)
  })

  test('shows characters that have no width, so that two names are not shown alike', () => {
    for (const hidden of ['\u200b', '\u2060', '\u180e', '\u206f', '\ufeff', '\ufffa'])
      expect(printable(`bge${hidden}small`)).toMatch(/^bge\\u[\da-f]{4}small$/)
    expect(printable('a\u{e0041}b')).toBe('a\\udb40\\udc41b')
    for (const text of ['می‌خواهم', '👩‍💻', 'ß', '\ud800']) expect(printable(text)).toBe(text)
  })

  test('keeps JSON valid and its values', () => {
    fc.assert(
      fc.property(hostile, text => {
        expect(JSON.parse(printableLines(JSON.stringify({ text }, null, 2)))).toEqual({ text })
      }),
    )
  })
})

test('shellWord is one argument with the same text in a real shell', () => {
  const texts = fc.sample(hostile, 500).map(text => text.toWellFormed().replaceAll('\0', ''))
  const script = `printf '%s\\0' ${texts.map(shellWord).join(' ')}`
  const printed = execFileSync('sh', ['-c', script], { encoding: 'utf8' })
  expect(printed.split('\0').slice(0, -1)).toEqual(texts)
})
