// Server-Sent Events: the regions of a page that changed since they were last sent. A browser
// reconnects by itself, and then gets every region once.

import type { ServerResponse } from 'node:http'
import { LIMITS, messageOf } from '@reembed/shared'
import { type Page, sectionHtml } from '../page/parts.ts'

export interface EventStreams {
  /**
   * Sends the page to this reader now, and its changes after each poll, until it disconnects.
   * @param key readers with the same key get the same page, which is made once after each poll
   */
  open(response: ServerResponse, read: () => Promise<Page | undefined>, key: string): void
  /** Sends what changed to every reader, after a poll. */
  publish(): void
  /**
   * Sends what changed at most once between two polls: pages whose readings are late at each
   * rendering would otherwise be rendered without pause.
   */
  publishLate(): void
  close(): void
  readonly readers: number
}

/** Proxies end a connection that is silent for a minute. */
const BEAT_MS = 15_000
/** Bytes that a reader may leave unread before it is disconnected: its tab may sleep. */
const MAX_UNSENT = LIMITS.unsentBytes
const MAX_READERS = LIMITS.eventReaders

interface Reader {
  readonly response: ServerResponse
  readonly read: () => Promise<Page | undefined>
  readonly key: string
  readonly sent: Map<string, string>
  isReading: boolean
}

interface RenderedPage {
  readonly title: string
  readonly sections: readonly { readonly id: string; readonly html: string }[]
}

const rendered = (page: Page | undefined): RenderedPage | undefined =>
  page && {
    title: page.title,
    sections: page.sections.map(section => ({ id: section.id, html: sectionHtml(section).text })),
  }

export function createEventStreams(): EventStreams {
  const readers = new Set<Reader>()
  const beat = setInterval(() => {
    for (const { response } of readers) response.write(': alive\n\n')
  }, BEAT_MS)
  beat.unref()
  let isLateSent = false

  async function send(reader: Reader, made: Map<string, Promise<RenderedPage | undefined>>): Promise<void> {
    if (reader.isReading) return
    reader.isReading = true
    try {
      const rendering = made.get(reader.key) ?? reader.read().then(rendered)
      made.set(reader.key, rendering)
      const page = await rendering
      if (page === undefined) return
      const changed = page.sections.filter(({ id, html }) => reader.sent.get(id) !== html)
      for (const { id, html } of changed) reader.sent.set(id, html)
      const ids = page.sections.map(({ id }) => id)
      if (changed.length > 0) write(reader, 'page', { title: page.title, ids, sections: changed })
    } catch (error) {
      write(reader, 'problem', { message: messageOf(error) })
    } finally {
      reader.isReading = false
    }
  }

  function publish(): void {
    const made = new Map<string, Promise<RenderedPage | undefined>>()
    for (const reader of readers) void send(reader, made)
  }

  function write({ response }: Reader, event: string, data: unknown): void {
    if (response.writableLength > MAX_UNSENT) {
      response.destroy()
      return
    }
    // JSON has no line break, which would end the event.
    response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
  }

  return {
    open(response, read, key) {
      if (readers.size >= MAX_READERS) {
        response.writeHead(503, { 'retry-after': '10' }).end('too many readers\n')
        return
      }
      const reader: Reader = { response, read, key, sent: new Map(), isReading: false }
      response.writeHead(200, { 'content-type': 'text/event-stream', 'x-accel-buffering': 'no' })
      response.write('retry: 2000\n\n')
      readers.add(reader)
      response.on('close', () => readers.delete(reader))
      void send(reader, new Map())
    },
    publish() {
      isLateSent = false
      publish()
    },
    publishLate() {
      if (isLateSent) return
      isLateSent = true
      publish()
    },
    close() {
      clearInterval(beat)
      for (const { response } of readers) response.end()
    },
    get readers() {
      return readers.size
    },
  }
}
