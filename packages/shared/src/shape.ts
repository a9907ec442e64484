// Structural validation of untrusted values: JSON from a store, from Redis or from a server. A
// shape checks fields and their types; the caller checks the meaning. Each value is validated
// before use.

import { ReembedError } from './errors.ts'

/** Returns the path of the first invalid field, or undefined if the value is valid. */
export type Shape = (value: unknown, path: string) => string | undefined

/**
 * Returns `value` typed as `T` if it has the shape.
 * @param what the start of the error message: the object and its place
 * @throws ReembedError CORRUPT that names the first invalid field
 */
export function requireShape<T>(shape: Shape, value: unknown, what: string): T {
  const wrong = shape(value, '')
  if (wrong === undefined) return value as T
  throw new ReembedError('CORRUPT', `${what}: ${wrong === '' ? 'the value' : wrong} is invalid`)
}

/** Values for which `test` returns true. */
export const is =
  (test: (value: unknown) => boolean): Shape =>
  (value, path) =>
    test(value) ? undefined : path

/** Values of shape `a` or shape `b`. */
export const either =
  (a: Shape, b: Shape): Shape =>
  (value, path) =>
    a(value, path) && b(value, path)

/** Arrays whose elements have the shape. */
export const list =
  (shape: Shape): Shape =>
  (value, path) => {
    if (!Array.isArray(value)) return path
    for (const [index, member] of value.entries()) {
      const wrong = shape(member, `${path}[${index}]`)
      if (wrong !== undefined) return wrong
    }
    return undefined
  }

/** Arrays with at least one element, whose elements have the shape. */
export const filled =
  (shape: Shape): Shape =>
  (value, path) =>
    list(shape)(value, path) ?? is(() => Array.isArray(value) && value.length > 0)(value, path)

/** Objects whose values, under any key, have the shape. */
export const mapOf =
  (shape: Shape): Shape =>
  (value, path) => {
    if (object(value, path) !== undefined) return path
    for (const [name, member] of Object.entries(value as object)) {
      const wrong = shape(member, path ? `${path}.${name}` : name)
      if (wrong !== undefined) return wrong
    }
    return undefined
  }

/** Objects with these fields. Further fields are accepted: a later version may add some. */
export const record = <T>(fields: { readonly [K in keyof Required<T>]: Shape }): Shape => {
  const shapes = Object.entries<Shape>(fields)
  return (value, path) => {
    if (typeof value !== 'object' || value === null) return path
    for (const [name, shape] of shapes) {
      const wrong = shape((value as Record<string, unknown>)[name], path ? `${path}.${name}` : name)
      if (wrong !== undefined) return wrong
    }
    return undefined
  }
}

/** Strings. */
export const text: Shape = is(value => typeof value === 'string')
/** Strings of at least one character. */
export const filledText: Shape = is(value => typeof value === 'string' && value !== '')
/** Whole numbers from 0. */
export const count: Shape = is(value => Number.isSafeInteger(value) && Number(value) >= 0)
/** Whole numbers above 0. */
export const positive: Shape = is(value => Number.isSafeInteger(value) && Number(value) > 0)
/** Finite numbers. */
export const finite: Shape = is(Number.isFinite)
/** Finite numbers from 0. */
export const amount: Shape = is(value => Number.isFinite(value) && Number(value) >= 0)
/** True or false. */
export const bool: Shape = is(value => typeof value === 'boolean')
/** Null. */
export const none: Shape = is(value => value === null)
const absent: Shape = is(value => value === undefined)
/** The shape, or undefined. */
export const optional = (shape: Shape): Shape => either(absent, shape)
/** The format version that this release reads and writes. */
export const format1: Shape = is(value => value === 1)
/** One of the listed values. */
export const oneOf = (values: readonly unknown[]): Shape => is(value => values.includes(value))
/** Dates as `Date.toISOString` writes them, or any other form that `Date.parse` reads. */
export const time: Shape = is(value => typeof value === 'string' && !Number.isNaN(Date.parse(value)))
/** Objects with any members. */
const object: Shape = is(value => typeof value === 'object' && value !== null && !Array.isArray(value))
