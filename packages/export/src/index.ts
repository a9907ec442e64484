// The whole public surface of @reembed/export; every other file is private to the package.

export { type Quantization, type Ranges, rangesOf, requireWholeBytes, toInt8, toUbinary } from './quantize.ts'
