// Measures the tokens of each text as a whole, so that what the model does not read of it is known.
//
//   server states the tokens of each input   exact
//   server states the tokens of a request    each text counts at most the model's limit, so the sum shows whether a text
//                                            reached it; the characters per token of the request follow from the sum
//   neither                                  from the characters per token learned so far
//
// An estimate has a 95 % interval, from the deviation of the characters per token between requests.

import { addUnread, type TokenDensity, type UnreadTokens } from '@reembed/protocol'

/** The tokens of a text, and the bounds of the 95 % interval; all equal where they were counted. */
export interface TextTokens {
  readonly tokens: number
  readonly low: number
  readonly high: number
}

/** A text that was sent. */
export interface SentText {
  /** Characters of the whole text, with the prompt. */
  readonly characters: number
  /** Characters that were sent; fewer if the worker cut what the server would ignore. */
  readonly sent: number
}

/** What a reply states about the tokens of its inputs. */
export interface StatedTokens {
  /** Sum that the model read, the canary included; null where the server states none. */
  readonly read: number | null
  /** Tokens of each text before truncation, where the server states them. */
  readonly whole?: readonly number[] | undefined
  /** Characters of the canary of the request; 0 without one. */
  readonly canaryCharacters: number
}

export interface TextMeter {
  /** The model's limit in tokens; null if unknown. */
  readonly limit: number | null
  /** Tokens of each text of an answered request. Learns from the reply. */
  measure(texts: readonly SentText[], stated: StatedTokens): TextTokens[]
  /** Tokens of a text that was not sent. */
  estimate(characters: number): TextTokens
}

/** UTF-8 bytes of a UTF-16 unit, and tokens that frame a text. */
const MAX_BYTES = 3
const MAX_FRAME = 2

/** Tokens that the model read of the texts of a request, without the canary. */
interface ReadTokens {
  readonly least: number
  readonly likely: number
  readonly most: number
}
/** For English, until something is learned. */
const UNKNOWN: TokenDensity = { charactersPerToken: 4, deviation: 0.3 }
/** Weight of a new request in the mean and the deviation. */
const WEIGHT = 0.1
/** Half of a 95 % interval, in deviations. */
const INTERVAL = 1.96
/**
 * A request shows the characters per token only if at least this share of its tokens is of texts
 * below the limit.
 */
const SHOWN_SHARE = 0.5
const MIN_DENSITY = 0.1
const MAX_DENSITY = 1_000

/** @param initial the density that was measured when the run was planned */
export function createTextMeter(limit: number | null, initial: TokenDensity = UNKNOWN): TextMeter {
  let mean = initial.charactersPerToken
  let variance = (initial.deviation * mean) ** 2
  const most = limit ?? Number.POSITIVE_INFINITY

  const tokensAt = (characters: number, density: number): number => characters / density
  const readAt = (texts: readonly SentText[], density: number): number =>
    texts.reduce((sum, { characters }) => sum + Math.min(most, tokensAt(characters, density)), 0)

  /**
   * The density at which the texts have `read` tokens in all. By bisection where texts reach the
   * limit: more is fewer tokens.
   */
  function densityOf(texts: readonly SentText[], read: number): number {
    let [sum, longest] = [0, 0]
    for (const { characters } of texts) {
      sum += characters
      longest = Math.max(longest, characters)
    }
    const even = read > 0 ? Math.min(MAX_DENSITY, Math.max(MIN_DENSITY, sum / read)) : MAX_DENSITY
    if (tokensAt(longest, even) <= most) return even
    let [low, high] = [MIN_DENSITY, MAX_DENSITY]
    for (let step = 0; step < 40; step++) {
      const middle = Math.sqrt(low * high)
      if (readAt(texts, middle) > read) low = middle
      else high = middle
    }
    return Math.sqrt(low * high)
  }

  function learn(density: number): void {
    const difference = density - mean
    mean += WEIGHT * difference
    variance = (1 - WEIGHT) * (variance + WEIGHT * difference ** 2)
  }

  function around(characters: number, density: number): TextTokens {
    const spread = (INTERVAL * Math.sqrt(variance)) / density
    return {
      tokens: tokensAt(characters, density),
      low: tokensAt(characters, density * (1 + spread)),
      high: tokensAt(characters, density * Math.max(0.25, 1 - spread)),
    }
  }

  /** A canary has at least one token, and no tokenizer makes more tokens than bytes. */
  const readOf = (read: number, canary: number): ReadTokens =>
    canary === 0
      ? { least: read, likely: read, most: read }
      : {
          least: read - MAX_BYTES * canary - MAX_FRAME,
          likely: read - Math.max(1, tokensAt(canary, mean)),
          most: read - 1,
        }

  function measureBySum(
    texts: readonly SentText[],
    { least, likely, most: readMost }: ReadTokens,
  ): TextTokens[] {
    if (readMost >= most * texts.length) {
      // Every text may have reached the limit: the sum shows no density.
      const all = texts.map(({ characters }) => around(characters, mean))
      // More than that is the count of a server that counts what its model does not read.
      return least === most * texts.length ? all.map(found => atLeast(found, most)) : all
    }
    const density = densityOf(texts, likely)
    const below = texts.filter(({ characters }) => tokensAt(characters, density) < most)
    // The tokens of the canary are not known exactly: a text so near the limit may have reached it.
    const uncertain = readMost - least
    const isNear = texts.some(({ characters }) => {
      const tokens = tokensAt(characters, density)
      return tokens < most && tokens > most - uncertain
    })
    const isShown = !isNear && readAt(below, density) >= SHOWN_SHARE * likely
    if (isShown) learn(density)
    // Each text has a token at least: with a sum below this, none reached the limit.
    const noneCut = readMost < most + texts.length - 1
    return texts.map(({ characters }) => {
      const found = around(characters, isShown ? density : mean)
      return noneCut ? atMost(found, most) : found
    })
  }

  return {
    limit,
    estimate: characters => around(characters, mean),
    measure(texts, { read, whole, canaryCharacters }) {
      if (whole) return texts.map((text, i) => extrapolated(whole[i] ?? 0, text))
      const found =
        read === null
          ? texts.map(({ characters }) => around(characters, mean))
          : measureBySum(texts, readOf(read, canaryCharacters))
      // What the worker did not send was not read.
      return found.map((text, i) => (isWhole(texts[i]) ? text : atLeast(text, most)))
    },
  }
}

const isWhole = (text: SentText | undefined): boolean => text?.sent === text?.characters

/** Counted tokens of the part that was sent, scaled to the whole text. */
function extrapolated(counted: number, { characters, sent }: SentText): TextTokens {
  const tokens = sent === characters ? counted : (counted * characters) / Math.max(1, sent)
  return { tokens, low: tokens, high: tokens }
}

const atLeast = ({ tokens, low, high }: TextTokens, least: number): TextTokens => ({
  tokens: Math.max(tokens, least + 1),
  low: Math.max(low, least + 1),
  high: Math.max(high, least + 1),
})

const atMost = ({ tokens, low, high }: TextTokens, most: number): TextTokens => ({
  tokens: Math.min(tokens, most),
  low: Math.min(low, most),
  high: Math.min(high, most),
})

/** The texts that were cut, and what was not read of them. */
export interface Truncation {
  readonly truncated: number
  readonly unread: UnreadTokens
}

export const NOTHING_TRUNCATED: Truncation = {
  truncated: 0,
  unread: { tokens: 0, low: 0, high: 0, of: 0 },
}

/** Adds up what the model does not read of texts over its limit. */
export function truncationOf(texts: readonly TextTokens[], limit: number | null): Truncation {
  const most = limit ?? Number.POSITIVE_INFINITY
  const over = (tokens: number): number => Math.max(0, tokens - most)
  const sum = (of: (text: TextTokens) => number): number =>
    Math.round(texts.reduce((total, text) => total + of(text), 0))
  return {
    truncated: texts.filter(({ tokens }) => tokens > most).length,
    unread: {
      tokens: sum(({ tokens }) => over(tokens)),
      low: sum(({ low }) => over(low)),
      high: sum(({ high }) => over(high)),
      of: sum(({ tokens }) => tokens),
    },
  }
}

/** The sum of two parts. */
export const addTruncation = (a: Truncation, b: Truncation): Truncation => ({
  truncated: a.truncated + b.truncated,
  unread: addUnread(a.unread, b.unread),
})
