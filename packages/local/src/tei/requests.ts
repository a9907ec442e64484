// Validates JSON bodies by the rules of serde (router/src/http/types.rs of TEI): unknown members
// are ignored; an invalid body is answered with 422 in plain text.

import { HttpRejection } from './errors.ts'

/** A text, or token ids, which TEI decodes to text before tokenizing. */
export type Input = string | readonly number[]

export interface Inputs {
  readonly inputs: readonly Input[]
  /** False for a single text or a single list of ids. Metrics distinguish the two. */
  readonly batch: boolean
}

export interface EmbedRequest extends Inputs {
  /** Undefined: the server's auto_truncate applies. */
  readonly truncate: boolean | undefined
  readonly truncationDirection: 'left' | 'right'
  readonly promptName: string | undefined
  readonly normalize: boolean
  readonly dimensions: number | undefined
}

export interface OpenAiRequest extends Inputs {
  readonly encodingFormat: 'float' | 'base64'
  readonly dimensions: number | undefined
}

export interface TokenizeRequest {
  readonly inputs: readonly string[]
  readonly addSpecialTokens: boolean
  readonly promptName: string | undefined
}

export interface DecodeRequest {
  readonly ids: readonly (readonly number[])[]
  readonly skipSpecialTokens: boolean
}

export function parseEmbedRequest(body: unknown): EmbedRequest {
  const members = objectOf(body)
  return {
    ...inputsOf(members, 'inputs'),
    truncate: optional(members, 'truncate', isBoolean, 'a boolean'),
    truncationDirection: directionOf(members),
    promptName: optional(members, 'prompt_name', isString, 'a string'),
    normalize: defaulted(members, 'normalize', true, isBoolean, 'a boolean'),
    dimensions: optional(members, 'dimensions', isUsize, 'usize'),
  }
}

/** Validates and ignores `model` and `user`. */
export function parseOpenAiRequest(body: unknown): OpenAiRequest {
  const members = objectOf(body)
  optional(members, 'model', isString, 'a string')
  optional(members, 'user', isString, 'a string')
  return {
    ...inputsOf(members, 'input'),
    encodingFormat: defaulted(members, 'encoding_format', 'float', isFormat, '`float` or `base64`'),
    dimensions: optional(members, 'dimensions', isUsize, 'usize'),
  }
}

export function parseTokenizeRequest(body: unknown): TokenizeRequest {
  const members = objectOf(body)
  const inputs = required(members, 'inputs')
  if (!isString(inputs) && !(Array.isArray(inputs) && inputs.every(isString))) {
    throw invalidType('inputs', 'data did not match any variant of untagged enum TokenizeInput')
  }
  return {
    inputs: isString(inputs) ? [inputs] : inputs,
    addSpecialTokens: defaulted(members, 'add_special_tokens', true, isBoolean, 'a boolean'),
    promptName: optional(members, 'prompt_name', isString, 'a string'),
  }
}

export function parseDecodeRequest(body: unknown): DecodeRequest {
  const members = objectOf(body)
  const ids = required(members, 'ids')
  const batch = isIds(ids) ? [ids] : ids
  if (!(Array.isArray(batch) && batch.every(isIds))) {
    throw invalidType('ids', 'data did not match any variant of untagged enum InputIds')
  }
  return {
    ids: batch,
    skipSpecialTokens: defaulted(members, 'skip_special_tokens', true, isBoolean, 'a boolean'),
  }
}

/**
 * The first matching variant applies. `[]` matches a list of ids: one empty input, not an empty
 * batch.
 */
function inputsOf(members: Members, name: string): Inputs {
  const value = required(members, name)
  if (isString(value) || isIds(value)) return { inputs: [value], batch: false }
  if (Array.isArray(value) && value.every(input => isString(input) || isIds(input))) {
    return { inputs: value, batch: true }
  }
  throw invalidType(name, 'data did not match any variant of untagged enum Input')
}

function directionOf(members: Members): 'left' | 'right' {
  const isDirection = (value: unknown): value is string =>
    isString(value) && /^([Ll]eft|[Rr]ight)$/.test(value)
  const given = defaulted(members, 'truncation_direction', 'Right', isDirection, '`Left` or `Right`')
  return given.toLowerCase() === 'left' ? 'left' : 'right'
}

type Members = Readonly<Record<string, unknown>>

function objectOf(body: unknown): Members {
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Members
  throw invalidType('', 'invalid type: expected a JSON object')
}

function required(members: Members, name: string): unknown {
  if (Object.hasOwn(members, name)) return members[name]
  throw invalidType('', `missing field \`${name}\``)
}

/** An Option in Rust: null equals absent. */
function optional<T>(
  members: Members,
  name: string,
  isValid: (value: unknown) => value is T,
  expected: string,
): T | undefined {
  const value = Object.hasOwn(members, name) ? members[name] : undefined
  if (value === undefined || value === null) return undefined
  if (isValid(value)) return value
  throw invalidType(name, `invalid value, expected ${expected}`)
}

/** A value with a default: null is refused. */
function defaulted<T>(
  members: Members,
  name: string,
  absent: T,
  isValid: (value: unknown) => value is T,
  expected: string,
): T {
  if (!Object.hasOwn(members, name)) return absent
  const value = members[name]
  if (isValid(value)) return value
  throw invalidType(name, `invalid value, expected ${expected}`)
}

const invalidType = (path: string, message: string): HttpRejection =>
  new HttpRejection(
    422,
    `Failed to deserialize the JSON body into the target type: ${path === '' ? '' : `${path}: `}${message}`,
  )

const isString = (value: unknown): value is string => typeof value === 'string'
const isBoolean = (value: unknown): value is boolean => typeof value === 'boolean'
const isUsize = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0
const isU32 = (value: unknown): value is number => isUsize(value) && value <= 0xffff_ffff
const isIds = (value: unknown): value is number[] => Array.isArray(value) && value.every(isU32)
const isFormat = (value: unknown): value is 'float' | 'base64' => value === 'float' || value === 'base64'
