// Lines of JSONL that look like one before: same names in the same order, same white space. Such lines need no
// JSON.parse. wasm/lines.as.ts compares what stands between the values, checks every value, and writes the wanted
// ones, unescaped, column by column; what is left to do here is one decode per column and block, and slices of it.
//
//   lines    {"id":"a","text":"x\ty"}\n  {"id":"b","text":"z"}\n  {"other":1}\n     the third line has another shape
//   columns  id: ab    text: x<tab>yz      rows: id to 1, text to 3; id to 2, text to 4
//
// What is taken equals what JSON.parse gives, and nothing is taken that it would refuse. The memory is one for the
// process: nothing of it is needed when `take` has returned. Each column has a string of its own, so that who keeps
// ids does not keep texts; a text keeps at most a block.

import { isUtf8 } from 'node:buffer'
import { pathSegments } from './field.ts'
import { WASM_BASE64 } from './scan-wasm.ts'

const BLOCK_BYTES = 32 * 1024
/** A longer line is left to JSON.parse. */
const MAX_LINE_BYTES = 1024 * 1024
const MAX_VALUES = 256
const MAX_COLUMNS = 16
const MAX_ROWS = 4096

/** Shapes known at once; one that is learned takes the place of the oldest. */
const MAX_SHAPES = 8

// The layout of the memory; 2 MiB for each column. What is not touched takes no memory.
const SHAPES = 0
const SHAPE_BYTES = 4096
const COLUMNS = 32 * 1024
const FRAMES = 64 * 1024
const FRAMES_BYTES = 48 * 1024
const ROWS = 512 * 1024
const INPUT = 4 * 1024 * 1024
const COLUMN = 6 * 1024 * 1024
const COLUMN_BYTES = 2 * 1024 * 1024
const RAW = 2 ** 31
const ABSENT = 2 ** 32 - 1

/** A shape that is learned should save the parsing of so many lines: else the next one is learned later. */
const WORTH_LINES = 16
/** So many lines at most are left to JSON.parse before a shape is tried again. */
const MAX_PAUSE = 1023

/** The part of the API that is needed here; TypeScript has its types only for browsers. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object) => { readonly exports: Record<string, unknown> }
}

interface Scanner {
  readonly memory: Buffer
  readonly words: Uint32Array
  scan(from: number, to: number, shapes: number, columns: number, maxRows: number): number
  end(): number
  isHigh(): number
}

let instance: Scanner | undefined
/** Whose shapes are in the memory, and which bytes. */
let loadedShapes: readonly Shape[] | undefined
let loaded: { readonly bytes: Buffer; readonly from: number; readonly to: number } | undefined

function scanner(): Scanner {
  if (instance === undefined) {
    const module = new WebAssembly.Module(Buffer.from(WASM_BASE64, 'base64'))
    const { memory, ...functions } = new WebAssembly.Instance(module).exports
    const { buffer } = memory as { readonly buffer: ArrayBuffer }
    instance = {
      memory: Buffer.from(buffer),
      words: new Uint32Array(buffer),
      ...(functions as unknown as Pick<Scanner, 'scan' | 'end' | 'isHigh'>),
    }
  }
  return instance
}

/** What lines have in common. */
interface Shape {
  /** The frames as one string. */
  readonly key: string
  /** What stands before each value, and behind the last one: as latin1, a character for a byte. */
  readonly frames: readonly string[]
  /** For each value its column, or -1. */
  readonly columnOf: readonly number[]
}

type OnRecord = (record: object, at: number) => void

export interface ShapedLineParser {
  /**
   * Takes whole lines from bytes[from] on while they have a shape that was learned and begin before `until`.
   * `onRecord` is given the wanted members of each, and where its line begins. Gives where the first line begins that
   * was not taken.
   */
  parseLines(bytes: Buffer, from: number, until: number, onRecord: OnRecord): number
  /** Told of a line that was not taken, and is a record. */
  learnShape(bytes: Buffer, from: number, to: number): void
}

/** `paths` are the fields that are needed: each record has those members that they lead to, and no others. */
export function createShapedLineParser(paths: readonly string[]): ShapedLineParser {
  const names = [...new Set(paths.flatMap(path => [path, pathSegments(path)[0] ?? path]))]
  // As a member of an object literal it would be its prototype.
  const possible = names.length <= MAX_COLUMNS && !names.includes('__proto__')
  let shapes: readonly Shape[] = []
  let taken = 0
  // Lines of ever other shapes would cost twice: a shape of no use doubles the number of lines without trying.
  let pause = 0
  let paused = 0

  return {
    parseLines(bytes, from, until, onRecord) {
      if (shapes.length === 0 || paused > 0) return from
      const { rows, end } = takeLines(shapes, names, { bytes, from, until, onRecord })
      taken += rows
      if (taken >= WORTH_LINES) pause = 0
      return end
    },
    learnShape(bytes, from, to) {
      if (paused > 0) {
        paused -= 1
        return
      }
      paused = pause
      pause = Math.min(pause * 2 + 1, MAX_PAUSE)
      taken = 0
      if (!possible || to - from >= MAX_LINE_BYTES) return
      const shape = shapeOf(bytes.toString('latin1', from, to), names)
      // A line may also have come here because it lay across two chunks.
      if (shape && !shapes.some(({ key }) => key === shape.key)) {
        shapes = [shape, ...shapes.slice(0, MAX_SHAPES - 1)]
      }
    },
  }
}

interface Lines {
  readonly bytes: Buffer
  readonly from: number
  readonly until: number
  readonly onRecord: OnRecord
}

/** How many lines have one of the shapes, and where the first begins that does not, or begins at or after `until`. */
function takeLines(
  shapes: readonly Shape[],
  names: readonly string[],
  { bytes, from, until, onRecord }: Lines,
): { rows: number; end: number } {
  const { memory, words, scan, end, isHigh } = scanner()
  if (loaded?.bytes !== bytes || from < loaded.from || from >= loaded.to) {
    const to = endOfBlock(bytes, from)
    if (to === from) return { rows: 0, end: from }
    memory.set(bytes.subarray(from, to), INPUT)
    loaded = { bytes, from, to }
  }
  if (loadedShapes !== shapes) loadShapes(shapes)
  for (const column of names.keys()) words.set([columnStart(column), 0], COLUMNS / 4 + 4 * column)
  const offset = loaded.from - INPUT
  const rows = scan(from - offset, Math.min(loaded.to, until) - offset, shapes.length, names.length, MAX_ROWS)
  const taken = end() + offset
  // JSON.parse's side says which line it is that is not UTF-8.
  if (isHigh() !== 0 && !isUtf8(bytes.subarray(from, taken))) return { rows: 0, end: from }

  const texts = names.map((_, column) => {
    const start = columnStart(column)
    const [to = 0, units] = words.subarray(COLUMNS / 4 + 4 * column)
    return memory.toString(to - start === units ? 'latin1' : 'utf8', start, to)
  })
  const ends = names.map(() => 0)
  for (let row = 0, word = ROWS / 4; row < rows; row++) {
    const at = (words[word++] ?? 0) + offset
    const record: Record<string, unknown> = {}
    for (let column = 0; column < names.length; column++) {
      const stop = words[word++] ?? ABSENT
      if (stop === ABSENT) continue
      const isRaw = stop >= RAW
      const to = isRaw ? stop - RAW : stop
      const text = (texts[column] ?? '').slice(ends[column], to)
      record[names[column] ?? ''] = isRaw ? JSON.parse(text) : text
      ends[column] = to
    }
    onRecord(record, at)
  }
  return { rows, end: taken }
}

const columnStart = (column: number): number => COLUMN + column * COLUMN_BYTES

function endOfBlock(bytes: Buffer, from: number): number {
  if (bytes.length - from > BLOCK_BYTES) {
    const last = bytes.lastIndexOf(10, from + BLOCK_BYTES - 1)
    if (last >= from) return last + 1
    const next = bytes.indexOf(10, from + BLOCK_BYTES)
    return next === -1 || next - from >= MAX_LINE_BYTES ? from : next + 1
  }
  const last = bytes.lastIndexOf(10)
  return last < from ? from : last + 1
}

function loadShapes(shapes: readonly Shape[]): void {
  const { memory, words } = scanner()
  for (const [number, { frames, columnOf }] of shapes.entries()) {
    let word = (SHAPES + number * SHAPE_BYTES) / 4
    let at = FRAMES + number * FRAMES_BYTES
    words[word++] = columnOf.length
    for (const [value, frame] of frames.entries()) {
      words.set([at, frame.length, columnOf[value] ?? -1], word)
      memory.write(frame, at, 'latin1')
      at += frame.length
      word += 3
    }
  }
  loadedShapes = shapes
}

/** The shape of a line that is a JSON object; undefined if it is one that can't be had here. */
function shapeOf(line: string, wanted: readonly string[]): Shape | undefined {
  const frames: string[] = []
  const columnOf: number[] = []
  const members = new Set<string>()
  let frame = 0
  let at = afterSpace(line, line.indexOf('{') + 1)
  while (line[at] === '"') {
    const end = endOfString(line, at)
    const name: string = JSON.parse(Buffer.from(line.slice(at, end), 'latin1').toString())
    if (members.has(name)) return undefined
    members.add(name)
    at = afterSpace(line, afterSpace(line, end) + 1)
    frames.push(line.slice(frame, at))
    frame = endOfValue(line, at)
    columnOf.push(wanted.indexOf(name))
    at = afterSpace(line, frame)
    if (line[at] === ',') at = afterSpace(line, at + 1)
  }
  frames.push(`${line.slice(frame)}\n`)
  const bytes = frames.reduce((sum, { length }) => sum + length, 0)
  const fits = columnOf.length > 0 && columnOf.length <= MAX_VALUES && bytes <= FRAMES_BYTES
  return fits ? { key: frames.join('\n'), frames, columnOf } : undefined
}

function endOfValue(line: string, start: number): number {
  const nesting = line[start] === '{' || line[start] === '['
  let depth = 0
  for (let at = start; ; ) {
    const c = line[at]
    if (c === '"') at = endOfString(line, at)
    else if (c === '{' || c === '[') [depth, at] = [depth + 1, at + 1]
    else if (nesting && (c === '}' || c === ']')) [depth, at] = [depth - 1, at + 1]
    else if (!nesting && (c === undefined || /[,}\s]/.test(c))) return at
    else at += 1
    if (depth === 0 && (nesting || c === '"')) return at
  }
}

/** Behind the quote that ends the string which begins at `start`. */
function endOfString(line: string, start: number): number {
  for (let at = start + 1; ; at += 2) {
    const quote = line.indexOf('"', at)
    const backslash = line.indexOf('\\', at)
    if (backslash === -1 || backslash > quote) return quote + 1
    at = backslash
  }
}

function afterSpace(line: string, start: number): number {
  let at = start
  while (line[at] === ' ' || line[at] === '\t' || line[at] === '\r') at += 1
  return at
}
