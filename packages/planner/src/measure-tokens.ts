// Measures what the parts of texts cost in tokens, by the server's `/tokenize`, where the tokenizer
// itself is not found: a server of an own model without access to the Hub. About 35 requests,
// whatever the corpus.

import { countByCosts, PART_KINDS, type PartKind, partsOf, type TokenCosts } from '@reembed/corpus'

/** Tokens of each text, those that frame it included; null where the server cannot count. */
export type CountByServer = (texts: readonly string[]) => Promise<readonly number[] | null>

/** Parts that are measured: the most frequent ones, and some of the others. */
const FREQUENT = 768
const RARE = 256
const PART_CHARACTERS = 64
/** Parts of the sample that are compared with their estimate, and about their size. */
const WINDOWS = 64
const WINDOW_CHARACTERS = 1_500
/** The factor covers this share of the windows, and a little more. */
const COVERED = 0.97
const MARGIN = 1.05
/** For kinds of which the sample has no part: more than common tokenizers need. */
const ASSUMED: Readonly<Record<PartKind, number>> = {
  latin: 0.5,
  letters: 1,
  ideographs: 1.5,
  digits: 1,
  space: 0.5,
  marks: 1,
}

/**
 * Measures with a sample of texts; the same sample gives the same costs. Undefined where the server
 * cannot count.
 */
export async function measureTokenCosts(
  sample: readonly string[],
  model: string,
  countByServer: CountByServer,
): Promise<TokenCosts | undefined> {
  const windows = windowsOf(sample)
  // What was seen in one half is compared in the other: words of later documents are not all known.
  const [seen, unseen] = [windows.filter((_, i) => i % 2 === 0), windows.filter((_, i) => i % 2 === 1)]
  const frequent = partsByFrequency(seen)
  const rare = spread(frequent.slice(FREQUENT), RARE)
  const parts = [...frequent.slice(0, FREQUENT), ...rare]
  const compared = unseen.length > 0 ? unseen : seen
  const framed = await countByServer([...FRAME, ...parts.map(([part]) => part), ...compared])
  if (framed === null) return undefined
  // 'a' and ' a' are one token each in every vocabulary.
  const [one = 0, two = 0] = framed
  const specialTokens = Math.max(0, 2 * one - two)
  const tokens = framed.slice(FRAME.length).map(each => Math.max(0, each - specialTokens))
  const measured = parts.map(([part, kind], i) => ({ part, kind, tokens: tokens[i] ?? 0 }))
  const costs = {
    specialTokens,
    factor: 1,
    parts: measured.map(({ part, tokens }): [string, number] => [part, tokens]),
    perCharacter: perCharacterOf(measured, new Set(rare.map(([part]) => part))),
  }
  const factor = factorOf(compared, tokens.slice(parts.length), countByCosts(costs))
  return { format: 'token-costs', model, ...costs, factor }
}

const FRAME = ['a', 'a a']

/** Pieces of the texts, cut at white space, spread evenly over them. */
function windowsOf(texts: readonly string[]): string[] {
  const windows: string[] = []
  for (const text of texts) {
    for (let from = 0; from < text.length; ) {
      const space = text.slice(from + WINDOW_CHARACTERS).search(/\s/)
      const to = space === -1 ? text.length : from + WINDOW_CHARACTERS + space
      const window = text.slice(from, to).trim().toWellFormed()
      if (window !== '') windows.push(window)
      from = to
    }
  }
  return spread(windows, 2 * WINDOWS)
}

function partsByFrequency(texts: readonly string[]): [part: string, kind: PartKind][] {
  const found = new Map<string, { kind: PartKind; times: number }>()
  for (const text of texts) {
    for (const [part, kind] of partsOf(text)) {
      if (part.length > PART_CHARACTERS) continue
      const entry = found.get(part)
      if (entry) entry.times += 1
      else found.set(part, { kind, times: 1 })
    }
  }
  return [...found]
    .sort(([a, { times }], [b, other]) => other.times - times || (a < b ? -1 : 1))
    .map(([part, { kind }]) => [part, kind])
}

/** By kind, from the rare parts where it has some: parts that were not measured are rare too. */
function perCharacterOf(
  measured: readonly { readonly part: string; readonly kind: PartKind; readonly tokens: number }[],
  rare: ReadonlySet<string>,
): Record<PartKind, number> {
  const of = (kind: PartKind): number => {
    const all = measured.filter(each => each.kind === kind)
    const some = all.filter(({ part }) => rare.has(part))
    const used = some.length > 0 ? some : all
    const characters = used.reduce((sum, { part }) => sum + part.length, 0)
    return characters === 0 ? ASSUMED[kind] : used.reduce((sum, { tokens }) => sum + tokens, 0) / characters
  }
  return Object.fromEntries(PART_KINDS.map(kind => [kind, of(kind)])) as Record<PartKind, number>
}

function factorOf(
  windows: readonly string[],
  tokens: readonly number[],
  estimate: (text: string) => number,
): number {
  const ratios = windows
    .map((window, i) => (tokens[i] ?? 0) / Math.max(1, estimate(window)))
    .sort((a, b) => a - b)
  return MARGIN * (ratios[Math.ceil(ratios.length * COVERED) - 1] ?? 1)
}

/** At most `count` of the values, spread evenly. */
const spread = <T>(values: readonly T[], count: number): T[] =>
  values.length <= count
    ? [...values]
    : Array.from({ length: count }, (_, i) => values[Math.floor((i * values.length) / count)] as T)
