// Templates, field paths and carried columns over any record: a document or a reject, never another
// member than the record's own.

import { createMapper, parseTemplate } from '@reembed/corpus'
import { fieldGetter } from '@reembed/formats'
import { must, refusing, type Target } from '../target.ts'

const record = {
  id: 'a',
  title: 'T',
  text: 'x',
  meta: { lang: 'en', 'a/b': [1], '~': null },
  'meta.lang': 7,
  n: 3.5,
  big: 2 ** 60,
}
const line = (id: string, template: string, carried: string): Buffer =>
  Buffer.from([id, template, carried, JSON.stringify(record)].join('\u0000'))

const TYPES = ['string', 'int32', 'int64', 'double', 'boolean'] as const

export const target: Target = {
  what: 'templates, field paths, carried columns',
  maxBytes: 800,
  maxMiB: 128,
  dictionary: [
    '{{',
    '}}',
    '{{{',
    '}}}',
    '{{ title }}',
    '&',
    '\u0000',
    'constructor',
    '__proto__',
    'toString',
    '/meta/a~1b',
    '~0',
    'meta.lang',
    'null',
    '[]',
    '{}',
    '1e400',
    'true',
    '"',
  ],
  seeds: () => [
    line('id', '{{ title }}\n\n{{ text }}', 'n'),
    line('meta.lang', 'Title: {{title}} \n {{&text}} end', '/meta/a~1b'),
    line('/meta/lang', '{{{meta.lang}}}', 'meta'),
    line('n', 'x{{text}}', 'big'),
  ],
  async check(input) {
    const [id = '', source = '', carried = '', ...rest] = input.toString().split('\u0000')
    let value: unknown
    try {
      value = JSON.parse(rest.join('\u0000'))
    } catch {}
    const found = typeof value === 'object' && value !== null ? value : {}
    const field = fieldGetter(id)(found)
    must(typeof field !== 'function', () => 'a member that every object has')
    const template = await refusing(['USAGE'], () => parseTemplate(source))
    if (template === undefined) return
    const text = template.render(found, (_name, other) =>
      must(typeof other === 'object', () => 'no text, no object'),
    )
    must(typeof text === 'string', () => `the text is ${typeof text}`)
    const isEmpty = template.fieldPaths.every(name =>
      ['', undefined, null].includes(fieldGetter(name)(found) as string),
    )
    must(!isEmpty || text === '', () => 'a text without fields')
    const position = { part: 0, offset: 0, line: 1 }
    for (const type of TYPES) {
      const mapper = await refusing(['USAGE'], () =>
        createMapper({ fields: { id, text: 'text' }, template: source, carry: [{ name: carried, type }] }),
      )
      if (mapper === undefined) continue
      const mapped = mapper.map(found, position)
      if (mapped.kind === 'reject') {
        must(
          mapped.message.length <= 200 && !/\p{Cc}/u.test(mapped.message),
          () => 'a message that is not plain',
        )
        continue
      }
      must(mapped.id !== '' && mapped.text === text, () => 'another text')
      const kept = mapped.carried?.[carried]
      const isRight = {
        string: 'string',
        int32: 'number',
        int64: 'number',
        double: 'number',
        boolean: 'boolean',
      }[type]
      must(
        kept === null || typeof kept === isRight || typeof kept === 'bigint',
        () => `${typeof kept} in a column of ${type}`,
      )
    }
  },
}
