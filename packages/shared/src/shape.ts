// Whether something read from a store has the shape that we write: which fields, of which kinds. What else it may mean
// is for whoever uses it. Nothing read from outside is believed before it went through here.

import { ReembedError } from './errors.ts'

/** Gives the path of the first field that is wrong. */
export type Shape = (value: unknown, path: string) => string | undefined

/**
 * @param what as it shall stand in the message, before where it was wrong
 * @throws ReembedError CORRUPT naming the first field that is not as it must be
 */
export function requireShape<T>(shape: Shape, value: unknown, what: string): T {
  const wrong = shape(value, '')
  if (wrong === undefined) return value as T
  throw new ReembedError('CORRUPT', `${what}, see ${wrong || 'all of it'}`)
}

export const is =
  (test: (value: unknown) => boolean): Shape =>
  (value, path) =>
    test(value) ? undefined : path

export const either =
  (a: Shape, b: Shape): Shape =>
  (value, path) =>
    a(value, path) && b(value, path)

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

/** Fields beyond the known ones are let through: a later version may add some. */
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

export const text: Shape = is(value => typeof value === 'string')
export const count: Shape = is(value => Number.isSafeInteger(value) && Number(value) >= 0)
export const positive: Shape = is(value => Number.isSafeInteger(value) && Number(value) > 0)
export const bool: Shape = is(value => typeof value === 'boolean')
export const none: Shape = is(value => value === null)
export const absent: Shape = is(value => value === undefined)
export const anything: Shape = () => undefined
/** What is there, whatever it is, or not. */
export const optional = (shape: Shape): Shape => either(absent, shape)
/** The format that this version reads. */
export const format1: Shape = is(value => value === 1)
export const oneOf = (values: readonly unknown[]): Shape => is(value => values.includes(value))
export const object: Shape = is(value => typeof value === 'object' && value !== null && !Array.isArray(value))
