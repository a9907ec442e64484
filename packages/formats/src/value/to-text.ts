// The one place that decides how a value of a record becomes text: in a template, in a column of
// strings, and inside of JSON. docs/formats.md has the table.

import { isInvalidUtf8 } from './record-values.ts'
import { numberText, TypedValue } from './typed-value.ts'

/**
 * The text of a value; undefined if no text states it exactly: bytes that are not UTF-8, or a list
 * or struct that JSON cannot hold.
 */
export function toText(value: unknown): string | undefined {
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
      return numberText(value)
    case 'bigint':
    case 'boolean':
      return String(value)
    case 'object':
      if (value instanceof TypedValue) return value.text
      return value === null || isInvalidUtf8(value) ? undefined : jsonText(value)
    default:
      return undefined
  }
}

/** Lists and structs as JSON: integers and decimals with all digits, times as strings. */
function jsonText(value: object): string | undefined {
  try {
    return JSON.stringify(value, (_, member: unknown) => exactMember(member))
  } catch (error) {
    if (error instanceof NotInJson) return undefined
    throw error
  }
}

/** Node 24 has it, the library of TypeScript not yet. */
const { rawJSON: rawJson } = JSON as unknown as { rawJSON(text: string): object }

class NotInJson extends Error {}

function exactMember(member: unknown): unknown {
  switch (typeof member) {
    case 'bigint':
      return rawJson(String(member))
    case 'number':
      // JSON.stringify would write null.
      if (!Number.isFinite(member)) throw new NotInJson()
      return Object.is(member, -0) ? rawJson('-0.0') : member
    case 'object':
      if (isInvalidUtf8(member)) throw new NotInJson()
      if (!(member instanceof TypedValue)) return member
      if (member.isNumber) return rawJson(member.text)
      if (member.double !== undefined) throw new NotInJson()
      return member.text
    default:
      return member
  }
}
