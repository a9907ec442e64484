// Bounds the replies of Redis before they are held. Another program may have written a value of any
// size to a key, and both the client and BullMQ hold a reply whole. So each connection counts the
// bytes of a reply as they arrive. A reply that grows beyond the limit ends the connection, and the
// commands that wait on it fail; the connection then opens again.

import { LIMITS, ReembedError } from '@reembed/shared'
import type { Cluster, Command, Redis } from 'ioredis'

/** Nested arrays in a reply. Those of our scripts and of BullMQ have three. */
const MAX_DEPTH = 16
/** The shortest element of an array: a type, and the end of its line. */
const MIN_ELEMENT_BYTES = 3
/** Type and length of a reply or an element fit in it. The rest of a line is only counted. */
const MAX_HEADER = 32
const LF = 0x0a

/**
 * Measures the next bytes of a connection. Returns how many of them are accepted: all, or those in
 * front of a reply that has more than `maxBytes`.
 */
export type ReplyMeter = (chunk: Uint8Array) => number

/**
 * Measures replies in the Redis protocol, RESP2 and RESP3 (redis.io, "Redis serialization protocol
 * specification"), without holding them. An announced length counts at once. After a reply of an
 * unknown type, which the client refuses, no further bytes are accepted.
 */
export function createReplyMeter(maxBytes: number): ReplyMeter {
  let header = ''
  /** Bytes of a string that are still to come, with the end of its line. */
  let stringBytes = 0
  let replyBytes = 0
  /** Elements that are still to come, of each open array. */
  const open: number[] = []
  let isKnown = true

  function elementEnded(): void {
    while (open.length > 0) {
      const left = (open.pop() ?? 0) - 1
      if (left === 0) continue
      open.push(left)
      return
    }
    replyBytes = 0
  }

  function arrayBegins(elements: number): boolean {
    if (elements <= 0) elementEnded()
    else open.push(elements)
    return open.length <= MAX_DEPTH && replyBytes + elements * MIN_ELEMENT_BYTES <= maxBytes
  }

  function stringBegins(length: number): boolean {
    if (length < 0) elementEnded()
    else stringBytes = length + 2
    return replyBytes + length <= maxBytes
  }

  /** Interprets a whole line; false when it announces too much. */
  function lineEnds(): boolean {
    const [type, length] = [header.charAt(0), Number(header.slice(1))]
    header = ''
    if ('+-:_#,('.includes(type)) elementEnded()
    else if ('$=!'.includes(type) && Number.isSafeInteger(length)) return stringBegins(length)
    else if ('*~>'.includes(type) && Number.isSafeInteger(length)) return arrayBegins(length)
    else if (type === '%' && Number.isSafeInteger(length)) return arrayBegins(2 * length)
    // Attributes precede the element that they describe.
    else if (type === '|' && Number.isSafeInteger(length)) return arrayBegins(2 * length + 1)
    else isKnown = false
    return true
  }

  return chunk => {
    if (!isKnown) return 0
    let accepted = 0
    for (let at = 0; at < chunk.length && isKnown; ) {
      if (stringBytes > 0) {
        const bytes = Math.min(stringBytes, chunk.length - at)
        stringBytes -= bytes
        replyBytes += bytes
        at += bytes
        if (stringBytes === 0) elementEnded()
        if (replyBytes === 0) accepted = at
        continue
      }
      const lineEnd = chunk.indexOf(LF, at)
      const end = lineEnd < 0 ? chunk.length : lineEnd + 1
      for (let i = at; i < end && header.length < MAX_HEADER; i += 1)
        header += String.fromCharCode(chunk[i] ?? 0)
      replyBytes += end - at
      at = end
      if (replyBytes > maxBytes || (lineEnd >= 0 && !lineEnds())) return accepted
      if (replyBytes === 0) accepted = at
    }
    return chunk.length
  }
}

/**
 * Bounds the replies on a connection, on those of a Cluster and to Sentinels, and on their
 * duplicates. A client with Sentinels must not have connected: it asks the first one at once.
 */
export function boundReplies<Client extends Redis>(client: Client, shown: string): Client {
  if ('nodes' in client) {
    boundResults(client, 'duplicate', shown)
    const cluster = client as unknown as Cluster
    // A Cluster reads its slots by a duplicate of a node.
    cluster.on('+node', (node: Redis) => boundReplies(node, shown))
  } else {
    boundStream(client, shown)
    const { connector } = client as unknown as { readonly connector: object }
    const hasSentinels = 'connectToSentinel' in connector
    if (hasSentinels) boundResults(connector, 'connectToSentinel', shown)
    // A duplicate inherits `lazyConnect`. BullMQ would connect it itself, and would never fetch a
    // job if that first attempt failed; it awaits the reconnects of a client that connects already.
    boundResults(client, 'duplicate', shown, copy => {
      if (hasSentinels) copy.connect().catch(() => {})
    })
  }
  return client
}

/**
 * Bounds the replies on each connection that a method of the client makes, then calls `bounded`.
 */
function boundResults(
  of: object,
  name: string,
  shown: string,
  bounded: (client: Redis) => void = () => {},
): void {
  const make = (of as Record<string, (...args: unknown[]) => Redis>)[name]?.bind(of)
  if (make === undefined) throw new Error(`ioredis has no method '${name}'`)
  Object.assign(of, {
    [name]: (...args: unknown[]) => {
      const made = boundReplies(make(...args), shown)
      bounded(made)
      return made
    },
  })
}

function boundStream(client: Redis, shown: string): void {
  // The event precedes the first byte that arrives: the client sends first.
  client.on('connect', () => {
    const { stream } = client
    const accept = createReplyMeter(LIMITS.redisReplyBytes)
    const push = stream.push.bind(stream)
    let isOver = false
    // Each byte enters the stream here. A listener of `data` could not withhold it from the client.
    stream.push = (chunk, encoding) => {
      const accepted = chunk === null ? 0 : accept(chunk)
      if (chunk === null || accepted === chunk.length) return push(chunk, encoding)
      if (isOver) return false
      isOver = true
      // The replies in front of it settle their commands: the first one left is that of the reply.
      if (accepted > 0) push(chunk.subarray(0, accepted), encoding)
      process.nextTick(() => {
        const error = tooLarge(client, shown)
        stream.destroy()
        client.recoverFromFatalError(error, error, { offlineQueue: false })
      })
      return false
    }
  })
}

function tooLarge(client: Redis, shown: string): ReembedError {
  const command = client.commandQueue.peekFront()?.command as Command | undefined
  const [key] = command?.getKeys() ?? []
  const asked =
    command === undefined ? 'a command' : [command.name.toUpperCase(), String(key ?? '')].join(' ').trim()
  return new ReembedError(
    'REDIS_MISCONFIGURED',
    `the reply of Redis at ${shown} to ${asked.slice(0, 200)} has more than ${LIMITS.redisReplyBytes} bytes, which no value of reembed has: another program wrote to its keys. Delete the key; completed shards are kept, and a sweep enqueues the missing shards again`,
  )
}
