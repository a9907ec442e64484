// The log of a process: one JSON line per event on stderr. It never contains a document's text, a
// token or a key.

import { LIMITS, ReembedError } from '@reembed/shared'
import { pino } from 'pino'

/**
 * Where events of a process go. A logger of pino fits. `facts` are fields of the line; they hold no
 * secret.
 */
export interface Logger {
  debug(facts: object, message: string): void
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
}

export interface LogOptions {
  readonly level?: string | undefined
  /** Fields of every line, for example { worker }. */
  readonly bindings?: Record<string, string | number>
}

const SECRETS = ['token', 'authorization', 'password', 'secretAccessKey', 'redis', 'headers']

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

/**
 * Opens the log of this process. It writes to stderr, because stdout is for data.
 * @throws ReembedError USAGE if the level is unknown
 */
export function openLog({ level = 'info', bindings = {} }: LogOptions = {}): Logger {
  if (!LEVELS.includes(level)) {
    throw new ReembedError('USAGE', `Log level '${level}' is unknown: use ${LEVELS.join(', ')}`, {
      option: 'log.level',
    })
  }
  return pino(
    {
      level,
      base: bindings,
      formatters: { level: name => ({ level: name }), log: bounded },
      hooks: {
        logMethod(args, method) {
          method.apply(this, args.map(cut) as typeof args)
        },
      },
      redact: SECRETS.flatMap(name => [name, `*.${name}`]),
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    pino.destination({ fd: 2, sync: true }),
  )
}

/** Names and messages of a server, a corpus or a job can be of any length. */
const cut = (value: unknown): unknown =>
  typeof value === 'string' && value.length > LIMITS.logCharacters
    ? `${value.slice(0, LIMITS.logCharacters).toWellFormed()}… (${value.length} characters)`
    : value

const bounded = (facts: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(facts).map(([name, value]) => [name, cut(value)]))
