// Examines the vectors of an index that any program wrote: two passes, in constant memory but for 8
// bytes a row.

import { createHash } from 'node:crypto'
import { cosine } from '@reembed/shared'
import { findMixture } from './mixture.ts'
import { createPause, dotAt } from './vectors.ts'

export interface IndexRow {
  readonly id: string
  /** Null: the row has none. */
  readonly vector: Float32Array | null
  /** Undefined if the index has no texts. */
  readonly text?: string | null | undefined
}

/** An index that is read from its beginning in each call. */
export interface IndexReader extends AsyncDisposable {
  /** Without credentials. */
  readonly address: string
  rows(signal?: AbortSignal): AsyncGenerator<readonly IndexRow[], void, undefined>
}

/** What the parameters of a URL select, and the URL of the server without them. */
export interface IndexSelection {
  readonly server: string
  readonly of: Readonly<Partial<Record<'table' | 'collection' | 'index' | 'id' | 'vector' | 'text', string>>>
}

export interface ExamineOptions {
  /** Embeds texts with the model of queries, to compare them with the vectors of their rows. */
  readonly embed?: ((texts: readonly string[]) => Promise<readonly Float32Array[]>) | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((rows: number, pass: 1 | 2) => void) | undefined
  /** Between the passes, so many vectors are compared with each other. */
  readonly onCompare?: ((vectors: number) => void) | undefined
}

export type FindingKind =
  | 'no_vector'
  | 'not_finite'
  | 'zero'
  | 'other_dimensions'
  | 'not_normalized'
  | 'duplicate'
  | 'no_text'
  | 'other_model'
  | 'not_reproduced'

export interface Finding {
  readonly kind: FindingKind
  readonly rows: number
  /** The ids of the first rows, at most 5. */
  readonly examples: readonly string[]
}

export interface IndexReport {
  readonly address: string
  readonly rows: number
  /** Those of most rows. */
  readonly dimensions: number
  /** Whether most vectors have the length 1. */
  readonly normalized: boolean
  /** False: the vectors use all directions evenly, or are too few to distinguish models. */
  readonly comparesModels: boolean
  /** Texts that were embedded again. */
  readonly reproduced: number
  /** Empty for an index without a fault. */
  readonly findings: readonly Finding[]
}

const EXAMPLES = 5
/** Vectors that are compared with each other: this many, or fewer of many dimensions. */
const SAMPLE_ROWS = 2_048
const SAMPLE_VALUES = 2 ** 20
const MIN_SAMPLE_ROWS = 1_024
/** float16 keeps a length within this. */
const UNIT = 1e-2
const REEMBEDDED = 64
/** The same model on other hardware, or after quantization, keeps this similarity. */
const SAME_MODEL = 0.98

/**
 * Examines an index: rows without a usable vector or text, copies, and vectors of two models.
 * @throws ReembedError of the reader, or of `embed`
 * @throws the reason of `signal`
 */
export async function examineIndex(
  reader: IndexReader,
  { embed, signal, onProgress = () => {}, onCompare }: ExamineOptions = {},
): Promise<IndexReport> {
  const findings = createFindings()
  const first = await firstPass(reader, findings, { signal, onProgress: rows => onProgress(rows, 1) })
  const { rows, dimensions, normalized, hashes, sample, texts } = first
  onCompare?.(sample.length / (dimensions || 1))
  const mixture = await findMixture(sample, dimensions, createPause(signal))
  const test = typeof mixture === 'object' ? mixture : undefined
  const repeated = repeatedOf(hashes)
  const seen = new Set<bigint>()
  let done = 0
  for await (const batch of reader.rows(signal)) {
    for (const { id, vector } of batch) {
      if (vector === null || vector.length !== dimensions) {
        if (vector !== null) findings.add('other_dimensions', id)
        continue
      }
      const length = lengthOf(vector)
      if (length === 0 || !Number.isFinite(length)) continue
      if (normalized && Math.abs(length - 1) > UNIT) findings.add('not_normalized', id)
      if (
        test?.isOther(
          vector.map(value => value / length),
          0,
        )
      )
        findings.add('other_model', id)
      const hash = hashOf(vector)
      if (repeated.has(hash) && seen.has(hash)) findings.add('duplicate', id)
      else if (repeated.has(hash)) seen.add(hash)
    }
    done += batch.length
    onProgress(done, 2)
  }
  const reproduced = embed ? await reproduce(texts, embed, findings) : 0
  return {
    address: reader.address,
    rows,
    dimensions,
    normalized,
    comparesModels: mixture !== 'undecidable',
    reproduced,
    findings: findings.list(),
  }
}

/** Embeds with an endpoint, in requests that it takes. `prompt` is put before each text. */
export const examineEmbedder =
  (
    endpoint: {
      readonly info: { readonly maxClientBatchSize: number }
      embed(texts: readonly string[]): Promise<Float32Array>
    },
    prompt = '',
  ): NonNullable<ExamineOptions['embed']> =>
  async texts => {
    const vectors: Float32Array[] = []
    for (let from = 0; from < texts.length; from += endpoint.info.maxClientBatchSize) {
      const part = texts.slice(from, from + endpoint.info.maxClientBatchSize)
      const values = await endpoint.embed(part.map(text => `${prompt}${text.toWellFormed()}`))
      const dimensions = values.length / part.length
      for (const i of part.keys()) vectors.push(values.subarray(i * dimensions, (i + 1) * dimensions))
    }
    return vectors
  }

function createFindings() {
  const found = new Map<FindingKind, { rows: number; readonly examples: string[] }>()
  return {
    add(kind: FindingKind, id: string): void {
      const finding = found.get(kind) ?? { rows: 0, examples: [] }
      finding.rows += 1
      if (finding.examples.length < EXAMPLES) finding.examples.push(id)
      found.set(kind, finding)
    },
    list: (): Finding[] => Array.from(found, ([kind, finding]) => ({ kind, ...finding })),
  }
}

/** Counts what one row shows, and keeps a sample of the unit vectors of most rows. */
async function firstPass(
  reader: IndexReader,
  findings: ReturnType<typeof createFindings>,
  { signal, onProgress }: { readonly signal?: AbortSignal | undefined; onProgress(rows: number): void },
) {
  const byDimensions = new Map<number, { rows: number; unit: number; readonly sample: Float32Array[] }>()
  const hashes: bigint[] = []
  const texts: { readonly id: string; readonly text: string; readonly vector: Float32Array }[] = []
  const random = createRandom()
  let rows = 0
  for await (const batch of reader.rows(signal)) {
    for (const { id, vector, text } of batch) {
      rows += 1
      if (text === null || text === '') findings.add('no_text', id)
      if (vector === null) {
        findings.add('no_vector', id)
        continue
      }
      const length = lengthOf(vector)
      if (!Number.isFinite(length)) findings.add('not_finite', id)
      else if (length === 0) findings.add('zero', id)
      else {
        const group = byDimensions.get(vector.length) ?? { rows: 0, unit: 0, sample: [] }
        byDimensions.set(vector.length, group)
        group.rows += 1
        if (Math.abs(length - 1) <= UNIT) group.unit += 1
        hashes.push(hashOf(vector))
        keep(group.sample, sampleRowsOf(vector.length), group.rows, random, () =>
          vector.map(value => value / length),
        )
        if (text) keep(texts, REEMBEDDED, group.rows, random, () => ({ id, text, vector }))
      }
    }
    onProgress(rows)
  }
  const [most] = [...byDimensions].toSorted(([, a], [, b]) => b.rows - a.rows)
  const [dimensions, group] = most ?? [0, { rows: 0, unit: 0, sample: [] }]
  const sample = new Float32Array(group.sample.length * dimensions)
  for (const [row, vector] of group.sample.entries()) sample.set(vector, row * dimensions)
  return { rows, dimensions, normalized: 2 * group.unit > group.rows, hashes, sample, texts }
}

const sampleRowsOf = (dimensions: number): number =>
  Math.max(MIN_SAMPLE_ROWS, Math.min(SAMPLE_ROWS, Math.floor(SAMPLE_VALUES / dimensions)))

/** Reservoir sampling: each of `seen` values is kept with the same probability. */
function keep<T>(kept: T[], size: number, seen: number, random: () => number, make: () => T): void {
  if (kept.length < size) kept.push(make())
  else {
    const at = Math.floor(random() * seen)
    if (at < size) kept[at] = make()
  }
}

/** The same values in each call, so that two reports of one index are equal. */
function createRandom(): () => number {
  let state = 7
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** Embeds sampled texts again, and compares them with the vectors of their rows. */
async function reproduce(
  rows: readonly { readonly id: string; readonly text: string; readonly vector: Float32Array }[],
  embed: NonNullable<ExamineOptions['embed']>,
  findings: ReturnType<typeof createFindings>,
): Promise<number> {
  const made = await embed(rows.map(({ text }) => text))
  for (const [i, { id, vector }] of rows.entries()) {
    const again = made[i]
    const isSame = again?.length === vector.length && cosine(again, vector) >= SAME_MODEL
    if (!isSame) findings.add('not_reproduced', id)
  }
  return rows.length
}

const lengthOf = (vector: Float32Array): number => Math.sqrt(dotAt(vector, 0, vector, 0, vector.length))

const hashOf = (vector: Float32Array): bigint =>
  createHash('sha1')
    .update(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength))
    .digest()
    .readBigUInt64LE()

function repeatedOf(hashes: readonly bigint[]): ReadonlySet<bigint> {
  const sorted = BigUint64Array.from(hashes).sort()
  const repeated = new Set<bigint>()
  for (let i = 1; i < sorted.length; i += 1) {
    const value = sorted[i] ?? 0n
    if (value === sorted[i - 1]) repeated.add(value)
  }
  return repeated
}
