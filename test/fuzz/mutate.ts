// Inputs out of inputs: a few changes at once, of the kinds that formats fall over.

export type Random = () => number

export interface Material {
  /** Another good input, to cut from. */
  readonly other: Uint8Array
  readonly dictionary: readonly Uint8Array[]
  /** Sides of recently failed comparisons: the found value, the expected value. */
  readonly compared: readonly (readonly [there: Uint8Array, wanted: Uint8Array])[]
  readonly maxBytes: number
}

const INTERESTING = [
  0,
  1,
  -1,
  2,
  7,
  8,
  16,
  31,
  32,
  63,
  64,
  127,
  128,
  -128,
  255,
  256,
  512,
  1000,
  1024,
  4096,
  32767,
  32768,
  65535,
  65536,
  2 ** 24,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 53,
  -(2 ** 31),
  -(2 ** 53),
  2 ** 62,
]

/** A changed copy. */
export function mutate(input: Uint8Array, material: Material, random: Random): Buffer {
  let bytes: Buffer = Buffer.from(input)
  const below = (limit: number): number => Math.floor(random() * limit)
  const pick = <T>(from: readonly T[]): T | undefined => from[below(from.length)]
  const splice = (at: number, removed: number, piece: Uint8Array): Buffer =>
    Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at + removed)])
  /** Short ones are likelier. */
  const length = (limit: number): number => 1 + below(Math.max(1, Math.min(limit, 2 ** below(10))))

  const kinds: readonly (() => void)[] = [
    function flipBit() {
      const at = below(bytes.length)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8))
    },
    function setByte() {
      bytes[below(bytes.length)] = below(256)
    },
    function addToByte() {
      const at = below(bytes.length)
      bytes[at] = (bytes[at] ?? 0) + below(35) - 17
    },
    function remove() {
      const at = below(bytes.length)
      bytes = splice(at, length(bytes.length - at), EMPTY)
    },
    function repeat() {
      const at = below(bytes.length)
      const piece = bytes.subarray(at, at + length(bytes.length - at))
      const times = 1 + below(4) ** 2
      bytes = splice(at, 0, Buffer.concat(Array<Uint8Array>(times).fill(piece)))
    },
    function insert() {
      const piece = Buffer.alloc(length(64), below(2) === 0 ? below(256) : 0)
      bytes = splice(below(bytes.length + 1), 0, piece)
    },
    function setNumber() {
      writeNumber(bytes, below(bytes.length), pick(INTERESTING) ?? 0, below(2 * WIDTHS.length))
    },
    function addToNumber() {
      const at = below(bytes.length)
      const kind = below(2 * WIDTHS.length)
      const value = readNumber(bytes, at, kind)
      writeNumber(bytes, at, value + below(71) - 35, kind)
    },
    function digits() {
      const found = [...bytes.toString('latin1').matchAll(/-?\d+/g)]
      const one = pick(found)
      if (one === undefined) return
      const value = below(2) === 0 ? Number(one[0]) + below(21) - 10 : (pick(INTERESTING) ?? 0)
      bytes = splice(one.index, one[0].length, Buffer.from(String(value)))
    },
    function move() {
      const at = below(bytes.length)
      const piece = Buffer.from(bytes.subarray(at, at + length(bytes.length - at)))
      bytes = splice(at, piece.length, EMPTY)
      bytes = splice(below(bytes.length + 1), 0, piece)
    },
    function cross() {
      const { other } = material
      const at = below(other.length)
      const piece = other.subarray(at, at + length(other.length - at))
      const to = below(bytes.length + 1)
      bytes = splice(to, below(2) === 0 ? piece.length : 0, piece)
    },
    function joinHalves() {
      const { other } = material
      bytes = Buffer.concat([bytes.subarray(0, below(bytes.length + 1)), other.subarray(below(other.length))])
    },
    function word() {
      const piece = pick(material.dictionary)
      if (piece === undefined) return
      bytes = splice(below(bytes.length + 1), below(2) === 0 ? piece.length : 0, piece)
    },
    function compared() {
      const one = pick(material.compared)
      if (one === undefined) return
      const [there, wanted] = one
      const places: number[] = []
      if (there.length > 0) {
        for (
          let at = bytes.indexOf(there);
          at !== -1 && places.length < 16;
          at = bytes.indexOf(there, at + 1)
        )
          places.push(at)
      }
      const at = pick(places)
      bytes =
        at === undefined
          ? splice(below(bytes.length + 1), below(2) * wanted.length, wanted)
          : splice(at, there.length, wanted)
    },
  ]
  const steps = 1 + below(2 ** below(4))
  for (let step = 0; step < steps; step++) {
    if (bytes.length === 0) bytes = Buffer.from([below(256)])
    // Comparisons and words lead where nothing else does.
    const kind = below(4) === 0 ? kinds[kinds.length - 1 - below(2)] : pick(kinds)
    kind?.()
  }
  return bytes.subarray(0, material.maxBytes)
}

const EMPTY = Buffer.alloc(0)

/** Bytes of a number: each width little and big endian. */
const WIDTHS = [2, 4, 8]

function readNumber(bytes: Buffer, at: number, kind: number): number {
  const width = WIDTHS[kind >> 1] ?? 2
  const wide = Buffer.alloc(8)
  bytes.copy(wide, 0, at, at + width)
  return Number(kind % 2 === 0 ? wide.readBigUInt64LE() : wide.readBigUInt64BE() >> BigInt(64 - 8 * width))
}

function writeNumber(bytes: Buffer, at: number, value: number, kind: number): void {
  const width = WIDTHS[kind >> 1] ?? 2
  const wide = Buffer.alloc(8)
  const whole = BigInt.asUintN(8 * width, BigInt(Math.trunc(value)))
  if (kind % 2 === 0) wide.writeBigUInt64LE(whole)
  else wide.writeBigUInt64BE(whole << BigInt(64 - 8 * width))
  wide.copy(bytes, at, 0, width)
}
