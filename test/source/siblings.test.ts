// Siblings of the reported inputs of test/reported-inputs.ts: other writers, types, encodings and
// places of the same kinds. Read exactly, or refused by name.

import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { CASES, carried, read, texts } from './read-corpus.ts'
import { temporaryFiles } from './temporary-files.ts'

const files = temporaryFiles()
const file = files.write

const refusal = (message: string) => ({ code: 'SOURCE_FORMAT', message: expect.stringContaining(message) })

describe('Arrow by polars and older writers', () => {
  const longest = 'a somewhat longer text than twelve bytes'
  it.each(['polars-lz4.arrow', 'polars-zstd.arrow', 'polars-stream.arrow'])(
    '%s has its texts and categories',
    async name => {
      expect((await read(`${CASES}${name}`, { carry: ['c'] })).rows).toEqual([
        ['a', 'one', { c: 'x' }],
        ['b', 'two', { c: 'y' }],
        ['c', longest, { c: 'x' }],
      ])
    },
  )

  it('a stream as before Arrow 0.15, without markers and with an end of four bytes, is read to its end', async () => {
    expect(await texts(`${CASES}legacy-stream.arrow`)).toEqual([
      ['a', 'one'],
      ['b', 'two'],
    ])
  })

  it('dictionaries that grow are read by the footer of a file, and refused in a stream', async () => {
    expect(await texts(`${CASES}dictionary-deltas-file.arrow`)).toEqual([
      ['a', 'x'],
      ['b', 'y'],
      ['c', 'z'],
      ['d', 'x'],
    ])
    await expect(texts(`${CASES}dictionary-deltas-stream.arrow`)).rejects.toMatchObject(
      refusal('changes its dictionaries between batches'),
    )
  })
})

describe('decimals, times and nested values', () => {
  it('decimals of 32 and 64 bits, and of a negative scale, keep their digits in Arrow', async () => {
    expect(await carried(`${CASES}decimals.arrow`, ['a', 'b', 'c'])).toEqual([
      { a: '-0.05', b: '-1234567890.12', c: '10000' },
      { a: null, b: '0.00', c: '-2000' },
    ])
  })

  it('decimals as integers and of 256 bits keep their digits in Parquet', async () => {
    expect(await carried(`${CASES}decimals.parquet`, ['a', 'b', 'c'])).toEqual([
      { a: '-0.05', b: '-1234567890.12', c: '10' },
      { a: null, b: '0.00', c: '-2' },
    ])
  })

  it('INT96 has nanoseconds and no zone, also before 1970', async () => {
    expect(await carried(`${CASES}int96.parquet`, ['ts'])).toEqual([
      { ts: '2024-01-02T03:04:05.678901000' },
      { ts: '1901-01-01T00:00:00.000000000' },
    ])
  })

  it('times of nanoseconds, milliseconds in a zone and dates are exact, also before 1970', async () => {
    expect(await carried(`${CASES}times.parquet`, ['t', 'ts', 'd'])).toEqual([
      { t: '01:02:03.000000001', ts: '1970-01-01T00:00:00.001Z', d: '1970-01-02' },
      { t: null, ts: '1969-12-31T23:59:59.999Z', d: '1969-12-31' },
    ])
  })

  it('lists of lists, structs in lists and integer keys of maps are JSON with all digits', async () => {
    expect(await carried(`${CASES}nested-lists.parquet`, ['x', 'y', 'm'])).toEqual([
      { x: '[[1],[],null]', y: '[{"a":[{"b":1}]}]', m: '{"9007199254740993":"v"}' },
      { x: null, y: '[null]', m: '{}' },
    ])
  })
})

describe('encrypted Parquet', () => {
  it('with an encrypted footer is named', async () => {
    await expect(texts(`${CASES}encrypted-footer.parquet`)).rejects.toMatchObject(refusal('is encrypted'))
  })

  it('is read where only a column is encrypted that nothing needs', async () => {
    expect(await texts(`${CASES}encrypted-other.parquet`)).toEqual([
      ['a', 'one'],
      ['b', 'two'],
    ])
  })

  it('names the encrypted column that is carried, or is in a template', async () => {
    const path = `${CASES}encrypted-other.parquet`
    const named = refusal('has an encrypted column: "secret"')
    await expect(carried(path, ['secret'])).rejects.toMatchObject(named)
    await expect(texts(path, { template: '{{ secret }} {{ text }}' })).rejects.toMatchObject(named)
  })
})

describe('a name that occurs twice', () => {
  it.each(['columns-twice.parquet', 'columns-twice.arrow'])(
    'as columns of %s cannot be chosen',
    async name => {
      await expect(texts(`${CASES}${name}`)).rejects.toMatchObject(refusal('has two columns named "text"'))
      expect(await texts(`${CASES}${name}`, { fields: { id: 'id', text: 'body' } })).toEqual([['a', 'z']])
    },
  )

  it.each([
    ['columns-twice.parquet', 's', 'two columns named "k"'],
    ['columns-twice.parquet', 's.k', 'two columns named "k"'],
    ['columns-twice.arrow', 's', 'members include "k" twice'],
    ['columns-twice.arrow', 's.k', 'two columns named "k"'],
  ])('in a struct of %s cannot be carried as %s', async (name, field, message) => {
    const fields = { id: 'id', text: 'body' }
    await expect(carried(`${CASES}${name}`, [field], { fields })).rejects.toMatchObject(refusal(message))
  })

  it.each([
    ['text', '{"id":1,"text":"first","text":"second"}', {}],
    ['text', '{"id":1,"te\\u0078t":"first","text":"second"}', {}],
    ['d.t', '{"id":1,"d":{"t":"first","t":"second"}}', { fields: { id: 'id', text: 'd.t' } }],
    ['d.q', '{"id":1,"text":"a","d":[{"q":1},{"q":2,"q":3}]}', { carry: ['d'] }],
  ])('as the key %s of a sampled record of JSONL is refused: %s', async (path, line, options) => {
    await expect(texts(await file('twice.jsonl', `${line}\n`), options)).rejects.toMatchObject(
      refusal(`has a record with the key "${path}" twice`),
    )
  })

  it('is found in a record with megabytes of escapes', async () => {
    const line = `{"id":1,"text":"${'\\nx'.repeat(2_600_000)}","id":2}\n`
    await expect(texts(await file('long.jsonl', line))).rejects.toMatchObject(
      refusal('has a record with the key "id" twice'),
    )
  })

  it('in a text, in other objects, or in a field that nothing reads costs nothing', async () => {
    const record = '{"id":1,"text":"{\\"id\\":1,\\"id\\":2}","l":[{"id":1},{"id":2}],"title":"x","title":"y"}'
    expect((await read(await file('once.jsonl', record), { carry: ['l'] })).rows).toEqual([
      ['1', '{"id":1,"id":2}', { l: '[{"id":1},{"id":2}]' }],
    ])
  })
})

describe('UTF-16 without a byte order mark', () => {
  it.each([
    ['a.txt', 'some text', 'little'],
    ['b.txt', 'Überschrift äöüß', 'big'],
    ['a.csv', 'id,text\n1,one\n', 'little'],
    ['a.jsonl', '{"id":1,"text":"one"}\n', 'big'],
    ['a.html', '<p>one</p>', 'little'],
  ])('is named: %s', async (name, text, order) => {
    const bytes = Buffer.from(text, 'utf16le')
    const path = await file(`utf16-${order}/${name}`, order === 'big' ? bytes.swap16() : bytes)
    const named = refusal(`"${name}" is UTF-16 (${order}-endian) without a byte order mark`)
    await expect(texts(path)).rejects.toMatchObject(named)
  })

  it('is not suspected of a text with a few characters U+0000', async () => {
    expect(await texts(await file('nul.txt', 'one\0two\0three'))).toEqual([['nul.txt', 'one\0two\0three']])
  })
})

describe('partitions', () => {
  it('partitions that are empty, or hold escapes that are none, are values as they are written', async () => {
    const values = { 'a%2Fb%3Dc%25': 'a/b=c%', '': '', '100%': '100%', '%E4': '%E4', 'S%C3%A3o': 'São' }
    for (const [at, name] of Object.keys(values).entries())
      await file(`hive/lang=${name}/${at}.jsonl`, `{"id":${at},"text":"t"}\n`)
    const rows = await carried(files.path('hive'), ['lang'])
    expect(new Set(rows.map(row => (typeof row === 'string' ? row : row.lang)))).toEqual(
      new Set(Object.values(values)),
    )
  })

  it('a partition is an id, and null for a file outside of it', async () => {
    await file('part/key=7/a.jsonl', '{"text":"one"}\n')
    await file('part/b.jsonl', '{"key":"own","text":"two"}\n')
    const path = files.path('part')
    expect(new Set(await texts(path, { fields: { id: 'key' } }))).toEqual(
      new Set([
        ['own', 'two'],
        ['7', 'one'],
      ]),
    )
    await file('part/c.jsonl', '{"text":"three"}\n')
    const rows = await carried(path, ['key'], { fields: { id: 'text' } })
    expect(new Set(rows.map(row => (typeof row === 'string' ? row : row.key)))).toEqual(
      new Set(['own', null, '7']),
    )
  })
})

describe('HTML', () => {
  const page = (charset: string, body: string | Buffer): Buffer =>
    Buffer.concat([
      Buffer.from(
        `<html><head><meta http-equiv="Content-Type" content="text/html; charset=${charset}"></head><p>`,
      ),
      Buffer.from(body),
    ])
  it.each([
    // Seven bits: valid UTF-8 as well.
    ['iso-2022-jp', '1b2442467c4b5c386c1b2842', '日本語'],
    ['Shift_JIS', '93fa967b8cea', '日本語'],
    ['euc-kr', 'c7d1b1b9beee', '한국어'],
    ['windows-1251', 'eff0e8e2e5f2', 'привет'],
    ['iso-8859-1', '636166e9', 'café'],
    ['utf-8', '636166c3a9', 'café'],
  ])('is decoded by the encoding that it declares: %s', async (charset, hex, text) => {
    const path = await file('declared.html', page(charset, Buffer.from(hex, 'hex')))
    expect(await texts(path)).toEqual([['declared.html', text]])
  })

  it('that is UTF-8 is read as such, although a declaration of an earlier encoding is left', async () => {
    const path = await file('left.html', page('iso-8859-1', 'café'))
    expect(await texts(path)).toEqual([['left.html', 'café']])
  })

  it('is read as UTF-8 behind its byte order mark, whatever it declares', async () => {
    const path = await file('marked.html', `\uFEFF<meta charset="iso-8859-1"><p>café`)
    expect(await texts(path)).toEqual([['marked.html', 'café']])
  })

  it('in an unknown encoding, or not valid in its own, is a reject', async () => {
    await file('odd/a.html', page('x-unknown', 'one'))
    await file('odd/b.html', page('shift_jis', Buffer.from('ffffa0', 'hex')))
    expect(await texts(files.path('odd'))).toEqual([
      'invalid_utf8: the page declares an unknown encoding',
      'invalid_utf8: the page is not valid in its encoding',
    ])
  })
})

describe('compressed objects', () => {
  const lines = '{"id":1,"text":"one"}\n'
  it.each([1, 30_000])('with other bytes behind %i lines of gzip are refused', async count => {
    const path = await file(
      'rest.jsonl.gz',
      Buffer.concat([gzipSync(lines.repeat(count)), Buffer.from('rest')]),
    )
    await expect(texts(path)).rejects.toMatchObject(refusal('has other bytes behind its gzip data'))
  })

  it('of zstd with a window of 2 GiB are refused by that, not as damaged', async () => {
    // A frame without its size: descriptor 0, window of 2^31 bytes, one last block that is raw.
    const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, (31 - 10) << 3, (lines.length << 3) | 1, 0, 0])
    const path = await file('window.jsonl.zst', Buffer.concat([header, Buffer.from(lines)]))
    await expect(texts(path)).rejects.toMatchObject(refusal('needs a window of more than 128 MiB'))
  })
})
