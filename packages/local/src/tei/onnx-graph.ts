// Writes ONNX models: the messages of the protobuf schema that a graph with weights needs.
// Field numbers and type codes: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3

/** TensorProto.DataType. */
export const DATA_TYPE = { float32: 1, int32: 6, int64: 7, float16: 10 } as const
export type DataType = keyof typeof DATA_TYPE

/** A number encodes an INT attribute, `{ float }` a FLOAT, an array an INTS. */
export type Attribute = number | { readonly float: number } | readonly number[]

export interface ValueInfo {
  readonly name: string
  readonly type: DataType
  /** A string names a dimension that is known only at run time. */
  readonly shape: readonly (number | string)[]
}

/** Builds a graph node by node. A string names each value. */
export interface OnnxGraph {
  /** Adds a weight with little-endian bytes and returns its name. */
  weight(type: DataType, shape: readonly number[], bytes: Uint8Array): string
  int64s(...values: readonly number[]): string
  float(value: number): string
  /** Adds a node with one output and returns the name of the output. */
  node(type: string, inputs: readonly string[], options?: NodeOptions): string
  /** Returns the bytes of the model. */
  encode(inputs: readonly ValueInfo[], outputs: readonly ValueInfo[]): Uint8Array
}

export interface NodeOptions {
  readonly attributes?: Readonly<Record<string, Attribute>>
  /** The operator set of a type outside standard ONNX. */
  readonly domain?: string
  /** Name of the output. Default: a generated name. */
  readonly output?: string
}

/** Opset 20 has exact Gelu and LayerNormalization, and was released with IR version 10. */
const OPSET = 20
const IR_VERSION = 10

export function createGraph(): OnnxGraph {
  const nodes: Uint8Array[] = []
  const weights: Uint8Array[] = []
  const domains = new Set<string>([''])
  let names = 0
  const fresh = (): string => `v${names++}`

  function weight(type: DataType, shape: readonly number[], bytes: Uint8Array): string {
    const name = fresh()
    const dims = shape.map(size => int(1, size))
    weights.push(message(5, ...dims, int(2, DATA_TYPE[type]), text(8, name), bytesField(9, bytes)))
    return name
  }

  return {
    weight,
    int64s: (...values) => weight('int64', [values.length], bytesOf(new BigInt64Array(values.map(BigInt)))),
    float: value => weight('float32', [], bytesOf(new Float32Array([value]))),
    node(type, inputs, { attributes = {}, domain = '', output = fresh() } = {}) {
      domains.add(domain)
      nodes.push(
        message(
          1,
          ...inputs.map(input => text(1, input)),
          text(2, output),
          text(4, type),
          ...Object.entries(attributes).map(([name, value]) => attribute(name, value)),
          text(7, domain),
        ),
      )
      return output
    },
    encode(inputs, outputs) {
      const graph = message(
        7,
        ...nodes,
        text(2, 'graph'),
        ...weights,
        ...inputs.map(value => valueInfo(11, value)),
        ...outputs.map(value => valueInfo(12, value)),
      )
      const opsets = [...domains].map(domain =>
        message(8, text(1, domain), int(2, domain === '' ? OPSET : 1)),
      )
      return Buffer.concat([int(1, IR_VERSION), graph, ...opsets])
    },
  }
}

/** AttributeProto.type: FLOAT 1, INT 2, INTS 7. */
function attribute(name: string, value: Attribute): Uint8Array {
  if (typeof value === 'number') return message(5, text(1, name), int(3, value), int(20, 2))
  if ('float' in value) return message(5, text(1, name), float(2, value.float), int(20, 1))
  return message(5, text(1, name), ...value.map(each => int(8, each)), int(20, 7))
}

function valueInfo(field: number, { name, type, shape }: ValueInfo): Uint8Array {
  const dims = shape.map(size => message(1, typeof size === 'string' ? text(2, size) : int(1, size)))
  return message(field, text(1, name), message(2, message(1, int(1, DATA_TYPE[type]), message(2, ...dims))))
}

/** Protobuf wire types: 0 varint, 2 length-delimited, 5 fixed 32-bit. */
const tag = (field: number, wire: 0 | 2 | 5): Uint8Array => varint((field << 3) | wire)
const int = (field: number, value: number): Uint8Array => Buffer.concat([tag(field, 0), varint(value)])
const message = (field: number, ...parts: readonly Uint8Array[]): Uint8Array =>
  bytesField(field, Buffer.concat(parts))
const text = (field: number, value: string): Uint8Array => bytesField(field, Buffer.from(value))
const bytesField = (field: number, bytes: Uint8Array): Uint8Array =>
  Buffer.concat([tag(field, 2), varint(bytes.length), bytes])

function float(field: number, value: number): Uint8Array {
  return Buffer.concat([tag(field, 5), bytesOf(new Float32Array([value]))])
}

/** Negative numbers are encoded as 64-bit two's complement, in ten bytes. */
function varint(value: number): Uint8Array {
  const bytes: number[] = []
  for (let rest = BigInt.asUintN(64, BigInt(value)); ; rest >>= 7n) {
    if (rest < 128n) return Uint8Array.from([...bytes, Number(rest)])
    bytes.push(Number(rest & 127n) | 128)
  }
}

const bytesOf = (values: BigInt64Array | Float32Array): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
