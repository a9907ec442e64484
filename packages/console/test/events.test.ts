import { createBoundedServer, listenOn } from '@reembed/shared'
import { expect, test } from 'vitest'
import { html } from '../src/page/html.ts'
import { createEventStreams } from '../src/server/events.ts'

test('late readings render the open pages once between two polls', async () => {
  const streams = createEventStreams()
  let rendered = 0
  const read = async () => {
    rendered += 1
    return { title: 'A run', sections: [{ id: 'head', body: html`<p>rendering ${rendered}</p>` }] }
  }
  const server = createBoundedServer((_, response) => streams.open(response, read, 'a run'))
  const url = await listenOn(server, { host: '127.0.0.1', port: 0 }, 'console')
  const reader = (await fetch(url)).body?.pipeThrough(new TextDecoderStream()).getReader()
  let seen = ''
  const sent = async (count: number): Promise<void> => {
    while (!seen.includes(`rendering ${count}<`)) seen += (await reader?.read())?.value ?? ''
  }
  await sent(1)
  streams.publishLate()
  await sent(2)
  streams.publishLate()
  streams.publishLate()
  expect(rendered).toBe(2)
  streams.publish()
  await sent(3)
  streams.publishLate()
  await sent(4)
  streams.close()
  server.closeAllConnections()
  await new Promise(resolve => server.close(resolve))
})
