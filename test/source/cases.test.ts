// Files as their writers wrote them: read exactly, or refused by name. The files in cases/ were
// made by pyarrow, polars, delta-rs and Python's json and csv modules.

import { cp, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { openCorpus, planRun } from '@reembed/planner'
import { tableFromArrays, tableToIPC } from 'apache-arrow'
import { parquetMetadata } from 'hyparquet'
import { describe, expect, it } from 'vitest'
import { CASES, carried, MODEL, read, texts } from './read-corpus.ts'
import { temporaryFiles } from './temporary-files.ts'

const files = temporaryFiles()
const file = files.write

describe('tab-separated files', () => {
  it('have no quoting', async () => {
    expect(await texts(`${CASES}tsv-quotes.tsv`)).toEqual([
      ['1', 'the first'],
      ['2', '"unbalanced start of a passage'],
      ['3', 'third'],
      ['4', 'fourth "'],
      ['5', 'fifth'],
    ])
  })

  it('have quotes where they are asked for', async () => {
    const path = await file('quoted.tsv', 'id\ttext\n1\t"two\nlines"\n2\tb\n')
    expect(await texts(path, { csv: { quote: '"' } })).toEqual([
      ['1', 'two\nlines'],
      ['2', 'b'],
    ])
  })

  it('keep every field that begins and ends with a quote, a quote alone, and a quote at the end of the file', async () => {
    const path = await file('lone.tsv', 'id\ttext\n1\t"whole"\n2\t"\n3\tlast"')
    expect(await texts(path)).toEqual([
      ['1', '"whole"'],
      ['2', '"'],
      ['3', 'last"'],
    ])
  })
})

describe('CSV', () => {
  it('with quotes behind backslashes is recognised', async () => {
    const { rows, sample } = await read(`${CASES}backslash-csv.csv`, { carry: ['lang'] })
    expect(rows).toEqual([
      ['1', 'The sign reads "hi" to me', { lang: 'en' }],
      ['2', 'plain', { lang: 'en' }],
      ['3', 'ends with "q"', { lang: 'de' }],
    ])
    expect(sample.tables).toEqual([
      {
        key: 'backslash-csv.csv',
        table: { delimiter: ',', columns: ['id', 'text', 'lang'], quote: '"', escaping: 'backslash' },
      },
    ])
  })

  it('with backslashes keeps an escaped backslash before the closing quote', async () => {
    const path = await file('slash.csv', 'id,text\n1,"a \\"b\\" c"\n2,"C:\\\\"\n3,"x\\y"\n')
    expect(await texts(path)).toEqual([
      ['1', 'a "b" c'],
      ['2', 'C:\\'],
      ['3', 'x\\y'],
    ])
  })

  it('without quoting, with quotes in texts, keeps every line', async () => {
    const path = await file('lone.csv', 'id,text\n1,"open\n2,b\n3,c"\n4,say "x" now\n5,"odd" one\n')
    expect(await texts(path)).toEqual([
      ['1', '"open'],
      ['2', 'b'],
      ['3', 'c"'],
      ['4', 'say "x" now'],
      ['5', '"odd" one'],
    ])
  })

  it('with a quoted field whose lines are records by themselves is refused until the quote is stated', async () => {
    const path = await file('swallow.csv', 'id,text\n1,"open\n2,b"\n3,c\n')
    await expect(texts(path)).rejects.toMatchObject({
      code: 'SOURCE_FORMAT',
      option: 'csv',
      message: expect.stringContaining('line 2 ends at line 3'),
    })
    expect(await texts(path, { csv: { quote: null } })).toEqual([
      ['1', '"open'],
      ['2', 'b"'],
      ['3', 'c'],
    ])
    expect(await texts(path, { csv: { quote: '"' } })).toEqual([
      ['1', 'open\n2,b'],
      ['3', 'c'],
    ])
  })

  it('with such a field is read if other rows are records with quotes alone, and no quote breaks the rules', async () => {
    const letter = 'Dear Ann,\nsee you,\nBob'
    const rows = [
      ['a', 'one, two'],
      ['b', letter],
      ['c', 'say "hi"\nand, bye'],
      ['d', 'first, second\nplain'],
      ['e', 'x\ny'],
    ] as const
    const field = (text: string): string => `"${text.replaceAll('"', '""')}"`
    const text = `id,text\n${rows.map(([id, text]) => `${id},${field(text)}\n`).join('')}`
    expect(letter.split('\n').some(line => line.split(',').length === 2)).toBe(true)
    expect(await texts(await file('letters.csv', text))).toEqual(rows)
    // Joined of two files, the second of a writer that does not quote.
    const joined = await file('joined-writers.csv', `${text}id,text\nf,"open\ng,close"\n`)
    await expect(texts(joined)).rejects.toThrow('line 6 ends at line 7')
    // One lone quote is enough to doubt the others.
    const doubtful = await file('doubtful.csv', `${text}f,"open\ng,close"\nh,5" nails\n`)
    await expect(texts(doubtful)).rejects.toThrow('line 6 ends at line 7')
  })

  it('with one unclosed quote rejects one line and reads the lines behind it', async () => {
    const path = await file('open.csv', 'id,text\n1,"a"\n2,"b"\n3,"open\n4,"d"\n5,"e"\n')
    expect(await texts(path)).toEqual([
      ['1', 'a'],
      ['2', 'b'],
      'invalid_record: a closing quote is followed by more text',
      ['4', 'd'],
      ['5', 'e'],
    ])
  })

  it('without a header has numbered columns', async () => {
    const path = await file('bare.csv', '1,a\n2,b\n')
    await using corpus = await openCorpus(path, { csv: { header: false } })
    const { head } = await planRun(corpus, { model: MODEL, fields: { id: 'column1', text: 'column2' } })
    expect(head.estimatedDocuments).toBe(2)
  })

  it('of joined files rejects the header in the middle, and ignores its byte order mark', async () => {
    const path = await file('joined.csv', '\uFEFFid,text,größe\n1,a,1\n\uFEFFid,text,größe\n\uFEFF2,b,2\n')
    expect(await texts(path)).toEqual([['1', 'a'], 'invalid_record: the line repeats the header', ['2', 'b']])
  })

  it('with a column twice refuses the choice of it', async () => {
    const path = await file('twice.csv', 'id,text,text\n1,a,b\n')
    await expect(texts(path)).rejects.toMatchObject({
      code: 'SOURCE_FORMAT',
      message: expect.stringContaining('has two columns named "text"'),
    })
  })

  it('with line breaks of carriage returns alone is refused by name', async () => {
    const path = await file('mac.csv', 'id,text\r1,a\r2,b\r')
    await expect(texts(path)).rejects.toMatchObject({
      code: 'SOURCE_FORMAT',
      message: expect.stringContaining('line breaks of one carriage return'),
    })
  })

  it('carries numbers and booleans by their type; a value that does not fit is null and counted', async () => {
    const path = await file(
      'typed.csv',
      'id,text,price,year,ok\n1,a,12.50,2001,true\n2,b,n/a,1999,False\n3,c,,n/a,\n',
    )
    const { rows, nulled, sample } = await read(path, {
      carry: ['price:double', 'y=year:int32', 'ok:boolean'],
    })
    expect(rows.map(row => row[2])).toEqual([
      { price: 12.5, y: 2001, ok: true },
      { price: null, y: 1999, ok: false },
      { price: null, y: null, ok: null },
    ])
    expect(nulled).toEqual({ price: 1, y: 1 })
    expect(sample.fit?.columns.map(({ column, unfit, example }) => [column.name, unfit, example])).toEqual([
      ['price', 1, '"n/a"'],
      ['y', 1, '"n/a"'],
    ])
  })

  it('rejects the document of such a value if asked, and refuses a column that no value fits', async () => {
    const path = await file('strict.csv', 'id,text,year\n1,a,2001\n2,b,n/a\n')
    expect((await read(path, { carry: ['year:int32!'] })).rows[1]).toMatch(
      /^invalid_record: carried field "year"/,
    )
    await expect(read(path, { carry: ['text:int32'] })).rejects.toMatchObject({
      code: 'USAGE',
      option: 'fields.carry',
      message: expect.stringContaining('such as "a"'),
    })
  })
})

describe('JSON numbers', () => {
  it('beyond 2^53 are exact as columns, as strings and in templates', async () => {
    const path = `${CASES}big-integers.jsonl`
    expect(await carried(path, ['author', 's=author:string'])).toEqual([
      { author: 1234567890123456789n, s: '1234567890123456789' },
      { author: 1234567890123456790n, s: '1234567890123456790' },
      { author: 12, s: '12' },
    ])
    expect(await texts(path, { template: '{{author}} {{text}}' })).toEqual([
      ['a', '1234567890123456789 one'],
      ['b', '1234567890123456790 two'],
      ['c', '12 three'],
    ])
  })

  it('are exact as ids, in objects and lists, with fractions, and beyond the range of doubles', async () => {
    const path = await file(
      'exact.jsonl',
      [
        '{"id":9007199254740993,"text":"a","o":{"n":[12345678901234567890,0.12345678901234567891]},"x":1e400}',
        '{"id":2,"text":"b","o":{"n":[1.5,-0]},"x":1e-400}',
        '{"id":3,"text":"c","o":null,"x":2.50}',
      ].join('\n'),
    )
    expect((await read(path, { carry: ['o', 's=x:string'] })).rows).toEqual([
      ['9007199254740993', 'a', { o: '{"n":[12345678901234567890,0.12345678901234567891]}', s: '1e400' }],
      ['2', 'b', { o: '{"n":[1.5,-0.0]}', s: '1e-400' }],
      ['3', 'c', { o: null, s: '2.5' }],
    ])
    const { rows, nulled } = await read(path, { carry: ['x:double'] })
    expect(rows.map(row => row[2])).toEqual([{ x: null }, { x: null }, { x: 2.5 }])
    expect(nulled).toEqual({ x: 2 })
  })

  it('NaN and Infinity of Python cost nothing in a field that is not read, and are carried as doubles', async () => {
    const path = `${CASES}nan.jsonl`
    expect((await read(path)).rows.length).toBe(4)
    expect(await carried(path, ['score'])).toEqual([
      { score: Number.NaN },
      { score: Number.POSITIVE_INFINITY },
      { score: Number.NEGATIVE_INFINITY },
      { score: 1.5 },
    ])
    const words = await file(
      'words.jsonl',
      '{"id":"a","text":"NaN and -Infinity","n":{"x":NaN}}\n{"id":"b","text":"t","n":{"x":1}}\n',
    )
    const { rows, nulled } = await read(words, { carry: ['n'] })
    expect(rows).toEqual([
      ['a', 'NaN and -Infinity', { n: null }],
      ['b', 't', { n: '{"x":1}' }],
    ])
    expect(nulled).toEqual({ n: 1 })
  })

  it('of a line that is cut off in a string of escaped quotes are not searched for in quadratic time', async () => {
    const path = await file('cut.jsonl', `{"id":1,"text":"a"}\n{"id":2,"text":"${'\\"'.repeat(500_000)}`)
    expect(await texts(path)).toEqual([['1', 'a'], 'invalid_json: the JSON ends early: is the line cut off?'])
  })

  it('a byte order mark in the middle of joined files is no part of its line', async () => {
    const path = await file('joined.jsonl', '\uFEFF{"id":1,"text":"a"}\n\uFEFF{"id":2,"text":"b"}\n')
    expect(await texts(path)).toEqual([
      ['1', 'a'],
      ['2', 'b'],
    ])
  })
})

describe('Arrow', () => {
  it('files of polars are read by their footer', async () => {
    expect(await texts(`${CASES}polars-ipc.arrow`)).toEqual([
      ['a', 'one'],
      ['b', 'two'],
      ['c', 'a somewhat longer text than twelve bytes'],
    ])
  })

  it('files of polars are exact, with categories whose dictionary follows the batch', async () => {
    expect(await carried(`${CASES}polars-types.arrow`, ['d', 't', 'l', 'c'])).toEqual([
      { d: '1.10', t: '2024-01-02T03:04:05.678901', l: '[1,2]', c: 'x' },
      { d: null, t: '2024-01-02T03:04:05.678901', l: '[]', c: 'y' },
    ])
  })

  it.each(['nested.feather', 'nested.parquet'])('lists of structs are JSON, also in %s', async name => {
    expect(await carried(`${CASES}${name}`, ['r'])).toEqual([
      { r: '[{"k":1,"v":[null,2]}]' },
      { r: '[]' },
      { r: null },
    ])
  })

  it.each([
    ['run-end.arrow', 'has a column "r" that is run-end encoded'],
    ['list-view.arrow', 'has a column "r" that is a list view'],
    ['interval.arrow', 'has a column "r" whose values of type Interval<MONTH_DAY_NANO> cannot be read'],
  ])('%s is refused by the name of its type', async (name, message) => {
    await expect(carried(`${CASES}${name}`, ['r'])).rejects.toMatchObject({
      code: 'SOURCE_FORMAT',
      message: expect.stringContaining(message),
    })
  })

  it('decimals, unsigned integers, times, durations and nested values are exact', async () => {
    const path = `${CASES}arrow-decimal.arrow`
    expect(await carried(path, ['price', 'dec0', 'd256', 'u64', 'i64', 't', 'dur', 'f16'])).toEqual([
      {
        price: '12.34',
        dec0: '12345678901234567890',
        d256: '1.5',
        u64: '18446744073709551615',
        i64: 9223372036854775807n,
        t: '01:02:03.000000',
        dur: 'PT0.000005S',
        f16: 1.5,
      },
      {
        price: null,
        dec0: '1',
        d256: '2.5',
        u64: '1',
        i64: 1n,
        t: '01:02:03.000000',
        dur: 'PT0.000005S',
        f16: 1.5,
      },
      {
        price: '-0.01',
        dec0: '2',
        d256: '-3.5',
        u64: '2',
        i64: -2n,
        t: '01:02:03.000000',
        dur: 'PT0.000005S',
        f16: 1.5,
      },
    ])
    expect(await carried(path, ['price:double'])).toEqual([
      { price: 12.34 },
      { price: null },
      { price: -0.01 },
    ])
    const { rows, nulled } = await read(path, { carry: ['u64:int64'] })
    expect(rows.map(row => row[2])).toEqual([{ u64: null }, { u64: 1n }, { u64: 2n }])
    expect(nulled).toEqual({ u64: 1 })
  })

  it('bytes that are not UTF-8 are refused as text', async () => {
    const table = tableFromArrays({ id: ['1', '2'], text: ['good', 'bad!'] })
    const bytes = Buffer.from(tableToIPC(table, 'file'))
    const at = bytes.indexOf('bad!')
    bytes[at] = 0xff
    const path = await file('bad.arrow', bytes)
    const rows = await texts(path)
    expect(rows[0]).toEqual(['1', 'good'])
    expect(rows[1]).toMatch(/^invalid_utf8/)
  })

  it('Feather files of version 1 are named', async () => {
    const path = await file(
      'old.feather',
      Buffer.concat([Buffer.from('FEA1'), Buffer.alloc(64), Buffer.from('FEA1')]),
    )
    await expect(texts(path)).rejects.toMatchObject({
      message: expect.stringContaining('Feather file of version 1'),
    })
  })
})

describe('Parquet', () => {
  it('keeps all digits of times and decimals, invents no time zone, and a date is a date', async () => {
    const path = `${CASES}timestamps.parquet`
    const [first] = await carried(path, ['ts', 'tns', 'day', 'price', 'bigdec', 'u64', 't', 'i8', 'cat'])
    expect(first).toEqual({
      ts: '2024-01-02T03:04:05.678901',
      tns: '2023-11-14T22:13:20.123456789Z',
      day: '2024-02-29',
      price: '12.34',
      bigdec: '12345678901234567890.12',
      u64: '18446744073709551615',
      t: '01:02:03.000000',
      i8: -1,
      cat: 'x',
    })
  })

  it('carries lists, structs and maps as JSON', async () => {
    expect(await carried(`${CASES}parquet-lists.parquet`, ['tags', 'meta', 'm', 'meta.n'])).toEqual([
      { tags: '["x","y"]', meta: '{"lang":"en","n":1}', m: '{"k":"v"}', 'meta.n': 1n },
      { tags: '[]', meta: null, m: '{"k":"v"}', 'meta.n': null },
      { tags: null, meta: '{"lang":null,"n":2}', m: '{"k":"v"}', 'meta.n': 2n },
      expect.stringContaining('missing_text'),
    ])
  })

  it('names a list whose dictionary is damaged', async () => {
    const bytes = await readFile(`${CASES}parquet-lists.parquet`)
    const { row_groups } = parquetMetadata(new Uint8Array(bytes).buffer)
    const tags = row_groups[0]?.columns.find(
      ({ meta_data }) => meta_data?.path_in_schema[0] === 'tags',
    )?.meta_data
    expect(tags?.dictionary_page_offset).toBeDefined()
    bytes.fill(0xff, Number(tags?.data_page_offset) - 8, Number(tags?.data_page_offset))
    await expect(carried(await file('dictionary.parquet', bytes), ['tags'])).rejects.toMatchObject({
      code: 'SOURCE_FORMAT',
      message: expect.stringMatching(/is damaged in column "tags/),
    })
  })

  it('names an encrypted column', async () => {
    await expect(texts(`${CASES}encrypted-column.parquet`)).rejects.toMatchObject({
      code: 'SOURCE_FORMAT',
      message: expect.stringContaining('has an encrypted column: "text"'),
    })
  })

  it('carries partition columns, which a column of the file overrides', async () => {
    expect(await carried(`${CASES}hive`, ['lang'])).toEqual([
      { lang: 'de' },
      { lang: 'de' },
      { lang: 'en' },
      { lang: 'en' },
    ])
    expect(await carried(`${CASES}hive/lang=de`, ['lang'])).toEqual([{ lang: 'de' }, { lang: 'de' }])
    await file('hive/year=2024/city=S%C3%A3o%20Paulo/a.jsonl', '{"id":1,"text":"a"}\n')
    await file('hive/year=__HIVE_DEFAULT_PARTITION__/city=x/b.jsonl', '{"id":2,"text":"b","city":"own"}\n')
    expect(await carried(files.path('hive'), ['year:int32', 'city'])).toEqual([
      { year: 2024, city: 'São Paulo' },
      { year: null, city: 'own' },
    ])
  })
})

describe('tables of Delta Lake', () => {
  it('that were overwritten have their current rows alone', async () => {
    await using corpus = await openCorpus(`${CASES}delta-overwritten`)
    const { head } = await planRun(corpus, { model: MODEL })
    expect(head.table).toEqual({ format: 'delta', version: 1, files: 1 })
    expect(await texts(`${CASES}delta-overwritten`)).toEqual([
      ['new1', 'text of new1'],
      ['new2', 'text of new2'],
    ])
  })

  it('are read from a checkpoint and the commits after it, where older commits were cleaned up', async () => {
    const ids = (await texts(`${CASES}delta-checkpoint`)).map(row => row[0])
    expect(ids.sort()).toEqual(['after', 'k0', 'k3'])
  })

  it('carry their partition columns, with any character and null', async () => {
    const rows = await carried(`${CASES}delta-partitions`, ['lang', 'year:int32'])
    expect(rows.length).toBe(3)
    expect(rows).toEqual(
      expect.arrayContaining([
        { lang: 'São Paulo', year: 2021 },
        { lang: 'a/b=c%', year: 2021 },
        { lang: null, year: 2022 },
      ]),
    )
  })

  it.each([
    ['a glob in it', '/*.parquet'],
    ['one of its files', '/part-00000-48d6fa77-f399-41e1-8fbf-f701f76612eb-c000.snappy.parquet'],
    ['the folder above it', '/..'],
  ])('are refused, with what to do: %s', async (_, rest) => {
    const table = files.path('above', 'delta')
    await cp(`${CASES}delta-overwritten`, table, { recursive: true })
    await expect(texts(`${table}${rest}`)).rejects.toMatchObject({
      code: 'SOURCE_FORMAT',
      message: expect.stringMatching(/is a table of Delta Lake: .*Give the folder of the whole table/),
    })
  })

  it('are refused if a file of the current version is missing or was replaced', async () => {
    const name = 'part-00000-48d6fa77-f399-41e1-8fbf-f701f76612eb-c000.snappy.parquet'
    const table = files.path('damaged-delta')
    await cp(`${CASES}delta-overwritten`, table, { recursive: true })
    await file(`damaged-delta/${name}`, 'PAR1')
    await expect(texts(table)).rejects.toThrow(`states 762 bytes for "${name}", which has 4`)
    await rm(join(table, name))
    await expect(texts(table)).rejects.toThrow(`names 1 files that do not exist, such as "${name}"`)
  })

  it('with a deletion vector in a checkpoint are refused, and read once a commit removed its file', async () => {
    const log = 'masked-delta/_delta_log/0000000000000000000'
    await file(`${log}0.json`, '')
    const duckdb = await (await DuckDBInstance.create()).connect()
    const at = (path: string): string => files.path('masked-delta', path)
    await duckdb.run(`COPY (SELECT '1' AS id, 'b' AS text) TO '${at('b.parquet')}' (FORMAT parquet)`)
    await duckdb.run(`COPY (SELECT {'path': 'a.parquet', 'size': 10::BIGINT, 'deletionVector': {
      'storageType': 'u', 'pathOrInlineDv': 'ab', 'offset': 1::INT, 'sizeInBytes': 36::INT, 'cardinality': 2::BIGINT,
      'maxRowIndex': NULL::BIGINT }} AS add) TO '${files.path(log)}1.checkpoint.parquet' (FORMAT parquet)`)
    await expect(texts(at(''))).rejects.toThrow('marks deleted rows of 1 of its 1 files')
    const { size } = await stat(at('b.parquet'))
    const actions = [
      {
        remove: {
          path: 'a.parquet',
          deletionVector: {
            storageType: 'u',
            pathOrInlineDv: 'ab',
            offset: 1,
            sizeInBytes: 36,
            cardinality: 2,
          },
        },
      },
      { add: { path: 'b.parquet', size, partitionValues: {} } },
    ]
    await file(`${log}2.json`, actions.map(action => `${JSON.stringify(action)}\n`).join(''))
    expect(await texts(at(''))).toEqual([['1', 'b']])
  })
})

describe('folders of table formats', () => {
  it.each([
    ['Delta Lake', 'd/_delta_log/00000000000000000000.json', 'd/part=1'],
    ['Iceberg', 'i/metadata/00000-1.metadata.json', 'i/data'],
    ['Hudi', 'h/.hoodie/hoodie.properties', 'h'],
  ])('%s is refused by name at a folder of its data', async (name, log, data) => {
    await file(log, '{}')
    await file(`${data}/a.jsonl`, '{"id":1,"text":"a"}\n')
    await expect(texts(files.path(data))).rejects.toMatchObject({
      message: expect.stringContaining(`is a table of ${name}`),
    })
  })
})

describe('documents', () => {
  it('of HTML and reStructuredText are their text', async () => {
    await file(
      'docs/a.html',
      '<html><head><script>x()</script></head><body><h1>Heading</h1><p>See <a href="http://x">this</a> &amp; that</p></body></html>',
    )
    await file('docs/b.rst', 'Title\n=====\n')
    expect(await texts(files.path('docs'))).toEqual([
      ['a.html', 'Heading\n\nSee this & that'],
      ['b.rst', 'Title\n=====\n'],
    ])
  })

  it('of PDF are their text layer; a damaged one is a reject', async () => {
    await file('pdf/a.pdf', pdfOf('(Hello from a PDF) Tj 0 -30 Td (second line) Tj'))
    await file('pdf/b.pdf', '%PDF-1.4 damaged')
    expect(await texts(files.path('pdf'))).toEqual([
      ['a.pdf', 'Hello from a PDF\nsecond line'],
      expect.stringMatching(/^invalid_record: the PDF cannot be read/),
    ])
  })

  it('are not a README or a dataset card beside data, but are in a folder of documents', async () => {
    await file('cards/README.md', 'card')
    await file('cards/a.md', 'note')
    expect(await texts(files.path('cards'))).toEqual([
      ['README.md', 'card'],
      ['a.md', 'note'],
    ])
    await file('cards/data/z.jsonl', '{"id":1,"text":"row"}\n')
    await file('cards/data/LICENSE.txt', 'licence')
    expect(await texts(files.path('cards'))).toEqual([
      ['a.md', 'note'],
      ['1', 'row'],
    ])
  })
})

/** A PDF of one page with the operators of a text object. */
function pdfOf(operators: string): string {
  const content = `BT /F1 18 Tf 20 100 Td ${operators} ET`
  const objects = [
    '<< /Type /Catalog /Pages 2 0 R >>',
    '<< /Type /Pages /Kids [3 0 R] /Count 1 >>',
    '<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 144] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>',
    `<< /Length ${content.length} >>\nstream\n${content}\nendstream`,
    '<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>',
  ]
  let body = '%PDF-1.4\n'
  const offsets = objects.map((object, i) => {
    const at = body.length
    body += `${i + 1} 0 obj\n${object}\nendobj\n`
    return at
  })
  const entries = offsets.map(at => `${String(at).padStart(10, '0')} 00000 n \n`).join('')
  return `${body}xref\n0 6\n0000000000 65535 f \n${entries}trailer << /Size 6 /Root 1 0 R >>\nstartxref\n${body.length}\n%%EOF\n`
}
