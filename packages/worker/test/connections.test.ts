import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connectToUrl, modelOf, openEndpoint } from '@reembed/endpoint'
import { modelKey } from '@reembed/shared'
import { getJson, openStore } from '@reembed/store'
import { INFO, startScriptedEndpoint } from '@reembed/testing'
import { expect, test } from 'vitest'
import type { OpenRun } from '../src/run-cache.ts'

test('I6: a server that states no revision is taken for that of the run, also where it is the first to show its vectors', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'reembed-'))
  try {
    await using store = await openStore(folder)
    await using server = await startScriptedEndpoint()
    server.info = { ...INFO, served_model_name: 'test/model' }
    await using endpoint = await openEndpoint(server.url)
    expect(endpoint.info.revision).toBeNull()
    const model = { ...modelOf(endpoint), revision: 'r7' }
    const run = { store, plan: { run: 'r', recipe: { model, truncate: true } } } as unknown as OpenRun
    await using connections = connectToUrl({ url: server.url, options: {}, instrument: each => each })
    const { reference, release } = await connections.use(run, 'r')
    expect(reference.model).toEqual(model)
    expect(await getJson(store, modelKey(model.id, 'r7'))).toEqual(reference)
    await release(false)
  } finally {
    await rm(folder, { recursive: true })
  }
})
