// AssemblyScript, not TypeScript: lines of JSONL that look like the line before, 16 bytes at a time. Built into
// src/source/scan-wasm.ts by wasm/build.mjs; src/source/scan.ts, its only caller, says what for.
//
//   line    {"id":"a1","tags":["x"],"text":"one \"two\""}\n
//   frames  |-----|    |-------|   |-------|            |-|      must be these bytes, or the line is left alone
//   values        |--|         |---|       |-----------|         any JSON; of wanted ones the text is kept, unescaped
//
// Nothing is read past the '\n' that ends the last line: it fits no frame and is a control character in a string.
// All that is taken here is valid JSON if the line before was: frames are its bytes, and a value is checked whole.

/** Shapes, SHAPE_BYTES each: how many values; then for each { where its frame lies, bytes of it, column or -1 }, and a last frame. */
const SHAPES: usize = 0
const SHAPE_BYTES: usize = 4096
/** Columns, each { next byte, UTF-16 units so far, and both as they are after the line under way }. */
const COLUMNS: usize = 32768
/** Rows, each { where its line begins, and for each column UTF-16 units so far, with RAW for JSON that is no string }. */
const ROWS: usize = 524288
const RAW: u32 = 1 << 31
/** Stands in a row for the units of a column that the line does not have. */
const ABSENT: u32 = 0xffffffff
/** What a string that nobody wants is written over. */
const NOWHERE: usize = 2097152
const MAX_DEPTH: i32 = 32
/** '\\u' as a number. */
const ESCAPE_U: u16 = 0x755c

/** Where the last string was written up to, and its UTF-16 units. */
let written: usize = 0
let units: u32 = 0
/** Whether a byte above 127 was met since the last call. */
let high: i32 = 0
let stopped: usize = 0
/** The shape that fitted last. */
let latest: i32 = 0

/** Where the first line begins that was not taken. */
export function end(): usize {
  return stopped
}

export function isHigh(): i32 {
  return high
}

/** Takes lines that begin in [from, to) until one has none of the shapes; gives their number. The last byte is a '\n'. */
export function scan(from: usize, to: usize, shapes: i32, columns: i32, maxRows: i32): i32 {
  high = 0
  let p = from
  let rows = 0
  let row = ROWS
  while (p < to && rows < maxRows) {
    store<u32>(row, <u32>p)
    let next: usize = latest < shapes ? takeLine(p, latest, columns, row + 4) : 0
    for (let shape = 0; next == 0 && shape < shapes; shape++) {
      if (shape == latest) continue
      next = takeLine(p, shape, columns, row + 4)
      if (next != 0) latest = shape
    }
    if (next == 0) break
    for (let column = 0; column < columns; column++) {
      const it = COLUMNS + 16 * <usize>column
      store<u64>(it, load<u64>(it, 8))
    }
    p = next
    row += 4 + 4 * <usize>columns
    rows++
  }
  stopped = p
  return rows
}

/** Where the next line begins, or 0. */
function takeLine(line: usize, number: i32, columns: i32, row: usize): usize {
  for (let column = 0; column < columns; column++) {
    const it = COLUMNS + 16 * <usize>column
    store<u64>(it, load<u64>(it), 8)
    store<u32>(row + 4 * <usize>column, ABSENT)
  }
  let p = line
  let shape = SHAPES + SHAPE_BYTES * <usize>number
  let left = load<i32>(shape)
  shape += 4
  while (true) {
    const bytes = load<u32>(shape, 4)
    if (!isFrame(p, load<u32>(shape), bytes)) return 0
    p += bytes
    if (left == 0) return p
    left--
    const column = load<i32>(shape, 8)
    shape += 12
    if (column < 0) {
      p = skip(p, 0)
      if (p == 0) return 0
      continue
    }
    const it = COLUMNS + 16 * <usize>column
    written = load<u32>(it)
    let raw: u32 = 0
    if (load<u8>(p) == 0x22) {
      p = takeString(p + 1)
      if (p == 0) return 0
    } else {
      const to = written
      const end = skip(p, 0)
      if (end == 0) return 0
      copyRaw(to, p, end)
      p = end
      raw = RAW
    }
    const sum = load<u32>(it, 4) + units
    store<u32>(it, <u32>written, 8)
    store<u32>(it, sum, 12)
    store<u32>(row + 4 * <usize>column, sum | raw)
  }
}

function isFrame(p: usize, frame: usize, bytes: usize): bool {
  let i: usize = 0
  for (; i + 8 <= bytes; i += 8) if (load<u64>(p + i) != load<u64>(frame + i)) return false
  for (; i < bytes; i++) if (load<u8>(p + i) != load<u8>(frame + i)) return false
  return true
}

/** Copies a string to `written` without its escapes, from behind its opening quote; gives where it ends, or 0. */
function takeString(from: usize): usize {
  const quote = i8x16.splat(0x22)
  const backslash = i8x16.splat(0x5c)
  const space = i8x16.splat(0x20)
  let p = from
  let o = written
  // Bytes written that are no unit of their own.
  let more: i32 = 0
  while (true) {
    let v = v128.load(p)
    v128.store(o, v)
    // Compared as signed numbers, bytes above 127 are below the space too.
    let stops = i8x16.bitmask(
      v128.or(v128.or(i8x16.eq(v, quote), i8x16.eq(v, backslash)), i8x16.lt_s(v, space)),
    )
    while (stops == 0) {
      p += 16
      o += 16
      v = v128.load(p)
      v128.store(o, v)
      stops = i8x16.bitmask(
        v128.or(v128.or(i8x16.eq(v, quote), i8x16.eq(v, backslash)), i8x16.lt_s(v, space)),
      )
    }
    const above = i8x16.bitmask(v)
    stops &= ~above
    const taken = stops == 0 ? 16 : ctz(stops)
    const here = above & ((1 << taken) - 1)
    if (here != 0) {
      high = 1
      const following = i8x16.bitmask(i8x16.lt_s(v, i8x16.splat(-64)))
      const ofFour = i8x16.bitmask(i8x16.ge_u(v, i8x16.splat(-16)))
      more += popcnt(following & here) - popcnt(ofFour & here)
    }
    p += taken
    o += taken
    if (stops == 0) continue
    const c = load<u8>(p)
    if (c == 0x22) {
      units = <u32>(o - written) - more
      written = o
      return p + 1
    }
    if (c != 0x5c) return 0
    const escaped = load<u8>(p, 1)
    if (escaped == 0x75) {
      do {
        let code = hex4(p + 2)
        if (code < 0) return 0
        p += 6
        if (code < 0x80) {
          store<u8>(o++, <u8>code)
          continue
        }
        high = 1
        if (code < 0x800) {
          store<u8>(o, <u8>(0xc0 | (code >> 6)))
          store<u8>(o, <u8>(0x80 | (code & 63)), 1)
          o += 2
          more += 1
          continue
        }
        if ((code & 0xf800) == 0xd800) {
          // Half a pair alone has no UTF-8: JSON.parse decides.
          if (code >= 0xdc00 || load<u16>(p) != ESCAPE_U) return 0
          const low = hex4(p + 2)
          if ((low & 0xfffffc00) != 0xdc00) return 0
          p += 6
          code = 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff)
          store<u8>(o++, <u8>(0xf0 | (code >> 18)))
          store<u8>(o, <u8>(0x80 | ((code >> 12) & 63)))
        } else {
          store<u8>(o, <u8>(0xe0 | (code >> 12)))
        }
        store<u8>(o, <u8>(0x80 | ((code >> 6) & 63)), 1)
        store<u8>(o, <u8>(0x80 | (code & 63)), 2)
        o += 3
        more += 2
      } while (load<u16>(p) == ESCAPE_U)
      continue
    }
    let plain: u8
    switch (escaped) {
      case 0x22:
      case 0x5c:
      case 0x2f:
        plain = escaped
        break
      case 0x6e:
        plain = 10
        break
      case 0x74:
        plain = 9
        break
      case 0x72:
        plain = 13
        break
      case 0x62:
        plain = 8
        break
      case 0x66:
        plain = 12
        break
      default:
        return 0
    }
    store<u8>(o++, plain)
    p += 2
  }
}

/** Four hexadecimal digits at once, or -1: all four bytes are looked at in one number of 32 bits. */
function hex4(p: usize): i32 {
  const x = load<u32>(p)
  const digit = x ^ 0x30303030
  const letter = (x | 0x20202020) ^ 0x60606060
  // The highest bit of a byte is set where it is not 0 to 9; where it is not 1 to 6.
  const noDigit = digit + 0x76767676
  const noLetter = (letter + 0x79797979) | ~(letter + 0x7f7f7f7f)
  if ((x & 0x80808080) != 0 || (noDigit & noLetter & 0x80808080) != 0) return -1
  const d = (x & 0x0f0f0f0f) + 9 * ((x >> 6) & 0x01010101)
  return ((d & 15) << 12) | (d & 0xf00) | ((d >> 12) & 0xf0) | (d >> 24)
}

function copyRaw(to: usize, from: usize, end: usize): void {
  memory.copy(to, from, end - from)
  written = to + (end - from)
  units = <u32>(end - from)
  for (let p = from; p < end; p++) {
    const c = load<u8>(p)
    if ((c & 0xc0) == 0x80) units--
    else if (c >= 0xf0) units++
  }
}

/** Where the JSON value ends that begins here, or 0. */
function skip(from: usize, depth: i32): usize {
  const c = load<u8>(from)
  switch (c) {
    case 0x22:
      written = NOWHERE
      return takeString(from + 1)
    case 0x74:
      return load<u32>(from) == 0x65757274 ? from + 4 : 0
    case 0x6e:
      return load<u32>(from) == 0x6c6c756e ? from + 4 : 0
    case 0x66:
      return load<u32>(from, 1) == 0x65736c61 ? from + 5 : 0
    case 0x5b:
    case 0x7b:
      return depth == MAX_DEPTH ? 0 : skipNested(from + 1, c, depth + 1)
    default:
      return skipNumber(from)
  }
}

/** From behind the bracket that opened it. */
function skipNested(from: usize, opened: u8, depth: i32): usize {
  // ']' and '}' stand two behind what opens them.
  const close: u8 = opened + 2
  let p = space(from)
  if (load<u8>(p) == close) return p + 1
  while (true) {
    if (opened == 0x7b) {
      if (load<u8>(p) != 0x22) return 0
      p = skip(p, depth)
      if (p == 0) return 0
      p = space(p)
      if (load<u8>(p) != 0x3a) return 0
      p = space(p + 1)
    }
    p = skip(p, depth)
    if (p == 0) return 0
    p = space(p)
    const c = load<u8>(p)
    if (c == close) return p + 1
    if (c != 0x2c) return 0
    p = space(p + 1)
  }
}

/** JSON's white space without the '\n', which ends a line. */
function space(from: usize): usize {
  let p = from
  while (true) {
    const c = load<u8>(p)
    if (c != 0x20 && c != 0x09 && c != 0x0d) return p
    p++
  }
}

function skipNumber(from: usize): usize {
  let p = from
  if (load<u8>(p) == 0x2d) p++
  if (load<u8>(p) == 0x30) p++
  else {
    const whole = digits(p)
    if (whole == p) return 0
    p = whole
  }
  if (load<u8>(p) == 0x2e) {
    const fraction = digits(p + 1)
    if (fraction == p + 1) return 0
    p = fraction
  }
  if ((load<u8>(p) | 0x20) == 0x65) {
    p++
    const sign = load<u8>(p)
    if (sign == 0x2b || sign == 0x2d) p++
    const exponent = digits(p)
    if (exponent == p) return 0
    p = exponent
  }
  return p
}

function digits(from: usize): usize {
  let p = from
  while (<u32>(load<u8>(p) - 0x30) < 10) p++
  return p
}
