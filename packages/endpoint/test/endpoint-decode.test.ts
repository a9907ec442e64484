import { badRowsOf, cosine, normOf } from '@reembed/shared'
import { base64, openaiReply, vectorOf } from '@reembed/testing'
import { describe, expect, test } from 'vitest'
import { decodeEmbeddings, decodeNumbers, dimensionsOf, InvalidReplyError } from '../src/client/decode.ts'
import { decodeBytes, dimensionsOfBytes } from '../src/client/decode-bytes.ts'

const D = 24
const texts = ['a', 'b', 'c']
const vectors = texts.map(text => vectorOf(text, D))
const bytes = (reply: unknown, space?: number): Buffer => Buffer.from(JSON.stringify(reply, null, space))
const target = (rows = [0, 1, 2], dimensions = D) => ({
  vectors: new Float32Array((Math.max(...rows) + 1) * dimensions),
  dimensions,
  rows,
})
const row = (all: Float32Array, i: number, dimensions = D): Float32Array =>
  all.subarray(i * dimensions, (i + 1) * dimensions)

interface Reply {
  object: string
  data: Record<string, unknown>[]
  model: string
  usage: unknown
}
const reply = (): Reply => structuredClone(openaiReply(vectors, 'm', 9)) as Reply

describe('decodeEmbeddings', () => {
  test('every vector lands bit-exact in its row, in any row order', () => {
    const to = target([5, 0, 2])
    expect(decodeEmbeddings(bytes(reply()), to)).toEqual({ model: 'm', tokens: 9 })
    expect(row(to.vectors, 5)).toEqual(vectors[0])
    expect(row(to.vectors, 0)).toEqual(vectors[1])
    expect(row(to.vectors, 2)).toEqual(vectors[2])
    expect(row(to.vectors, 1)).toEqual(new Float32Array(D))
  })

  test('a reply with two members of one name is read as JSON.parse reads it', () => {
    const text = bytes(reply()).toString()
    const first = `"embedding":"${base64(vectors[0] ?? new Float32Array(D))}"`
    const twice = target()
    decodeEmbeddings(Buffer.from(text.replace(first, `"embedding":"AAAA",${first}`)), twice)
    expect(row(twice.vectors, 0)).toEqual(vectors[0])
    const other = `"data":[{"object":"embedding","embedding":"","index":0}]`
    for (const spoilt of [
      text.replace('"data":[', '"":[').replace('"model"', `${other},"model"`),
      text.replace('"model"', `${other},"model"`),
      text.replace('"model"', `${other.replace('data', 'd\\u0061ta')},"model"`),
    ])
      expect(() => decodeEmbeddings(Buffer.from(spoilt), target())).toThrow(InvalidReplyError)
  })

  test.each([1, 2, 3, 4, 5, 7, 384, 768, 1024])(
    '%i dimensions, with and without base64 padding',
    dimensions => {
      const made = texts.map(text => vectorOf(text, dimensions))
      const to = target([0, 1, 2], dimensions)
      decodeEmbeddings(bytes(openaiReply(made)), to)
      for (const [i, vector] of made.entries()) expect(row(to.vectors, i, dimensions)).toEqual(vector)
      expect(dimensionsOf(bytes(openaiReply(made)))).toBe(dimensions)
    },
  )

  test.each<[string, (given: Reply) => Buffer]>([
    ['pretty-printed', given => bytes(given, 2)],
    [
      'index before embedding',
      ({ data, ...rest }) =>
        bytes({
          ...rest,
          data: data.map(({ index, embedding }) => ({ index, object: 'embedding', embedding })),
        }),
    ],
    [
      'without index',
      ({ data, ...rest }) => bytes({ ...rest, data: data.map(({ embedding }) => ({ embedding })) }),
    ],
    ['rows out of order', ({ data, ...rest }) => bytes({ ...rest, data: data.toReversed() })],
    [
      'floats instead of base64',
      ({ data, ...rest }) =>
        bytes({ ...rest, data: data.map((entry, i) => ({ ...entry, embedding: [...(vectors[i] ?? [])] })) }),
    ],
  ])('another valid layout gives the same rows: %s', (_name, write) => {
    const to = target()
    expect(decodeEmbeddings(write(reply()), to)).toEqual({ model: 'm', tokens: 9 })
    for (const [i, vector] of vectors.entries()) expect(row(to.vectors, i)).toEqual(vector)
  })

  test('a model name with the syntax of a vector is not decoded as one', () => {
    const to = target()
    const facts = decodeEmbeddings(bytes({ ...reply(), model: '"embedding":"AAAA"' }), to)
    expect(facts.model).toBe('"embedding":"AAAA"')
  })

  test.each<[string, (given: Reply) => unknown]>([
    [
      'one character more in every vector',
      given => ({
        ...given,
        data: given.data.map(entry => ({ ...entry, embedding: `${entry.embedding}A` })),
      }),
    ],
    ['one vector missing', given => ({ ...given, data: given.data.slice(1) })],
    ['the last vector missing', given => ({ ...given, data: given.data.slice(0, 2) })],
    ['one vector more', given => ({ ...given, data: [...given.data, { ...given.data[0], index: 3 }] })],
    ['one index twice', given => ({ ...given, data: given.data.map(entry => ({ ...entry, index: 1 })) })],
    [
      'an index beyond the inputs',
      given => ({ ...given, data: given.data.map(entry => ({ ...entry, index: 7 })) }),
    ],
    [
      'one dimension fewer',
      given => ({
        ...given,
        data: given.data.map((entry, i) => ({ ...entry, embedding: base64(vectorOf(String(i), D - 1)) })),
      }),
    ],
    [
      'one dimension more',
      given => ({
        ...given,
        data: given.data.map((entry, i) => ({ ...entry, embedding: base64(vectorOf(String(i), D + 1)) })),
      }),
    ],
    [
      'characters that are not base64',
      given => ({
        ...given,
        data: given.data.map(entry => ({
          ...entry,
          embedding: String(entry.embedding).replace(/.{4}/, '!!!!'),
        })),
      }),
    ],
    [
      'null instead of a vector',
      given => ({ ...given, data: given.data.map(entry => ({ ...entry, embedding: null })) }),
    ],
    [
      'strings in the vector',
      given => ({ ...given, data: given.data.map(entry => ({ ...entry, embedding: Array(D).fill('0.1') })) }),
    ],
    ['no data', ({ model }) => ({ model })],
    ['an array', () => []],
  ])('refused: %s', (_name, spoil) => {
    expect(() => decodeEmbeddings(bytes(spoil(reply())), target())).toThrow(InvalidReplyError)
  })

  test('a reply cut at any byte is refused', () => {
    const whole = bytes(reply())
    for (let length = 0; length < whole.length; length++) {
      expect(() => decodeEmbeddings(whole.subarray(0, length), target()), `cut at ${length}`).toThrow(
        InvalidReplyError,
      )
    }
  })

  test('with any one byte around the vectors spoilt, a reply is refused or gives the same vectors', () => {
    const whole = bytes(reply())
    const right = target()
    decodeEmbeddings(whole, right)
    const inVector = Buffer.alloc(whole.length)
    for (const vector of vectors)
      inVector.fill(1, whole.indexOf(base64(vector)), whole.indexOf(base64(vector)) + 128)
    for (const [at, byte] of whole.entries()) {
      if (inVector[at]) continue
      for (const other of [0x41, 0x22, 0x7d, 0x31].filter(value => value !== byte)) {
        const spoilt = Buffer.from(whole)
        spoilt[at] = other
        const to = target()
        try {
          decodeEmbeddings(spoilt, to)
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidReplyError)
          continue
        }
        expect(to.vectors, `byte ${at} as ${other}`).toEqual(right.vectors)
      }
    }
  })

  test('the reason never quotes the body', () => {
    expect(() => decodeEmbeddings(Buffer.from('{"secret'), target())).toThrow(
      'the reply is not complete JSON',
    )
  })
})

describe('decodeNumbers', () => {
  const numbers = (rows: unknown): Buffer => Buffer.from(JSON.stringify(rows))

  test('rows of JSON numbers are the float32 that were sent, bit for bit', () => {
    const to = target()
    decodeNumbers(numbers(vectors.map(vector => [...vector])), to)
    for (const [i, vector] of vectors.entries()) expect(row(to.vectors, i)).toEqual(vector)
  })

  test('a null, which is how NaN comes, is not taken for 0', () => {
    const to = target([0])
    decodeNumbers(numbers([[null, ...Array(D - 1).fill(0.5)]]), to)
    expect(to.vectors[0]).toBeNaN()
    expect(badRowsOf(to.vectors, [0], D, false)).toEqual([0])
  })

  test.each<[string, unknown]>([
    ['fewer rows', [[...(vectors[0] ?? [])]]],
    ['a short row', [[1], [1], [1]]],
    ['strings', texts.map(() => Array(D).fill('1'))],
    ['no array', { a: 1 }],
  ])('refused: %s', (_name, rows) => {
    expect(() => decodeNumbers(numbers(rows), target())).toThrow(InvalidReplyError)
  })
})

describe('badRowsOf', () => {
  const spoilt = (change: (vector: Float32Array) => void): number[] => {
    const all = new Float32Array(2 * D)
    all.set(vectors[0] ?? [], 0)
    all.set(vectors[1] ?? [], D)
    change(all)
    return badRowsOf(all, [0, 1], D, true)
  }

  test('unit vectors pass', () => expect(spoilt(() => {})).toEqual([]))
  test.each([0, 1, 2, 3, D - 1])('NaN at place %i is found', place =>
    expect(spoilt(all => all.fill(Number.NaN, D + place, D + place + 1))).toEqual([1]),
  )
  test('infinity is found', () => expect(spoilt(all => all.fill(Infinity, 0, 1))).toEqual([0]))
  test('zeros are found', () => expect(spoilt(all => all.fill(0, 0, D))).toEqual([0]))
  test('a vector that is not normalised among those that are is found', () =>
    expect(
      spoilt(all =>
        all.set(
          all.subarray(D).map(value => value * 1.5),
          D,
        ),
      ),
    ).toEqual([1]))
  test('without normalisation any norm above 0 passes', () => {
    expect(badRowsOf(new Float32Array([3, 4, 0, 0]), [0, 1], 2, false)).toEqual([1])
    expect(normOf(new Float32Array([3, 4]), 0, 2)).toBe(5)
  })
  test('cosine is 1 for the same direction and -1 for the opposite', () => {
    expect(cosine(new Float32Array([3, 4]), new Float32Array([6, 8]))).toBeCloseTo(1)
    expect(cosine(new Float32Array([3, 4]), new Float32Array([-3, -4]))).toBeCloseTo(-1)
  })
})

test.each([true, false])(
  'a character more than the vector has is not taken for padding (spaced: %s)',
  isSpaced => {
    const given = openaiReply(
      texts.map(text => vectorOf(text, 2)),
      'm',
      9,
    ) as Reply
    const text = JSON.stringify(given, null, isSpaced ? 1 : undefined)
    expect(text).toContain('="')
    for (const other of ['A', '*']) {
      const changed = Buffer.from(text.replaceAll('="', `${other}"`))
      expect(() => decodeEmbeddings(changed, target([0, 1, 2], 2))).toThrow(InvalidReplyError)
    }
  },
)

test('vectors that stand elsewhere than in `data` are none', () => {
  const { data, ...rest } = reply()
  for (const other of [[], [{ index: 0 }], [{}, {}, {}]]) {
    expect(() => decodeEmbeddings(bytes({ elsewhere: data, ...rest, data: other }), target())).toThrow(
      InvalidReplyError,
    )
    expect(() => decodeEmbeddings(bytes({ a: { data }, ...rest, data: other }), target())).toThrow(
      InvalidReplyError,
    )
  }
})

describe('decodeBytes', () => {
  const size = D * 4
  const place = (index: number, start: number) => ({
    index,
    embed_dtype: 'float32',
    endianness: 'little',
    start,
    end: start + size,
    shape: [D],
  })
  const data = texts.map((_, i) => place(i, i * size))
  const body = Buffer.concat(vectors.map(vector => Buffer.from(vector.buffer)))
  const replyOf = (metadata: unknown, content: Buffer = body) => ({
    status: 200,
    headers: { metadata: typeof metadata === 'string' ? metadata : JSON.stringify(metadata) },
    body: content,
  })

  test('each vector lands bit-exact in its row, by the index and the place that the reply states', () => {
    const to = target([5, 0, 2])
    const shuffled = {
      data: [place(2, 0), place(0, size), place(1, 2 * size)],
      model: 'm',
      usage: { prompt_tokens: 9 },
    }
    expect(decodeBytes(replyOf(shuffled), to, 'float32')).toEqual({ model: 'm', tokens: 9 })
    expect(row(to.vectors, 2)).toEqual(vectors[0])
    expect(row(to.vectors, 5)).toEqual(vectors[1])
    expect(row(to.vectors, 0)).toEqual(vectors[2])
    expect(dimensionsOfBytes(replyOf(shuffled), 'float32')).toBe(D)
  })

  test.each<[string, unknown, Buffer?]>([
    ['no metadata', 'no JSON'],
    ['no data', { model: 'm' }],
    ['one vector less', { data: data.slice(1) }],
    ['a body that is cut', { data }, body.subarray(0, -4)],
    ['a body that is longer', { data }, Buffer.concat([body, body])],
    ['another type', { data: data.map(entry => ({ ...entry, embed_dtype: 'bfloat16' })) }],
    ['another byte order', { data: data.map(entry => ({ ...entry, endianness: 'big' })) }],
    ['a repeated index', { data: data.map(entry => ({ ...entry, index: 0 })) }],
    ['an index of no input', { data: data.map(entry => ({ ...entry, index: entry.index + 1 })) }],
    ['a place between two vectors', { data: data.map(entry => ({ ...entry, start: entry.start + 4 })) }],
    ['one place for all', { data: data.map(({ index }) => place(index, 0)) }],
    ['a place after the body', { data: data.map(({ index, start }) => place(index, start + size)) }],
    ['a place before the body', { data: data.map(({ index, start }) => place(index, start - size)) }],
    ['a place of another size', { data: data.map(entry => ({ ...entry, end: entry.end + 4 })) }],
    ['no entry', { data: [null, null, null] }],
  ])('%s is not a valid reply', (_, metadata, content) => {
    expect(() => decodeBytes(replyOf(metadata, content), target(), 'float32')).toThrow(InvalidReplyError)
  })
})
