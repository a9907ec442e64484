// Vectors of the short texts that a worker embedded last for a run. Logs, titles and labels repeat
// a few texts often, farther apart than one window of the embedder (docs/benchmarks.md).

/** Bounds the memory of one run. At 384 dimensions it is 21,845 vectors. */
const MAX_BYTES = 32 * 1024 * 1024
/** Bounds what is held beside small vectors. */
const MAX_ROWS = 32_768
const FIRST_ROWS = 256
/**
 * After this many texts of which none was found, the corpus seems to repeat none, and copying each
 * vector would cost a twentieth of the worker. Each 16th text is kept until one is found.
 */
const TRIED_TEXTS = 8_192
const KEPT_OF = 16

export interface RepeatedTexts {
  /**
   * The texts as one job sees them: its own, and those of completed jobs. A server that answers
   * nonsense is detected at the end of a shard, and other shards must not get its vectors.
   */
  begin(): JobTexts
}

export interface JobTexts {
  /** A copy of the vector of the text with this content hash; undefined if none is known. */
  find(hash: string): Float32Array | undefined
  /** Keeps the vector, in place of one that was not found for long; few if none is ever found. */
  add(hash: string, vector: Float32Array): void
  /** Shows the texts of this job to the others. */
  complete(): void
}

interface Row {
  hash: string
  owner: Owner
  /** Whether the text was found since the hand passed it. */
  isUsed: boolean
}

interface Owner {
  isComplete: boolean
}

/** Memory grows with the texts. */
export function createRepeatedTexts(dimensions: number, maxBytes: number = MAX_BYTES): RepeatedTexts {
  const vectorBytes = dimensions * Float32Array.BYTES_PER_ELEMENT
  const capacity = Math.min(MAX_ROWS, Math.max(1, Math.floor(maxBytes / vectorBytes)))
  let vectors = new Float32Array(0)
  const rows: Row[] = []
  const known = new Map<string, number>()
  // The clock algorithm: an order by use in a Map costs more than the texts are worth.
  let hand = 0
  /** Texts that were given since one was found. */
  let unfound = 0

  /** The row of a new text: a free one, else the next that was not found since the last pass. */
  function newRow(): number {
    if (rows.length < capacity) return rows.length
    for (let row = rows[hand]; row?.isUsed; row = rows[hand]) {
      row.isUsed = false
      hand = (hand + 1) % capacity
    }
    const at = hand
    hand = (hand + 1) % capacity
    known.delete(rows[at]?.hash ?? '')
    return at
  }

  function grow(): void {
    const grown = Math.min(capacity, Math.max(FIRST_ROWS, 2 * rows.length))
    const larger = new Float32Array(grown * dimensions)
    larger.set(vectors)
    vectors = larger
  }

  return {
    begin() {
      const owner: Owner = { isComplete: false }
      return {
        find(hash) {
          const at = known.get(hash)
          const row = at === undefined ? undefined : rows[at]
          if (at === undefined || !row || !(row.owner === owner || row.owner.isComplete)) return undefined
          row.isUsed = true
          unfound = 0
          // The row may be given to another text while the vector waits for the rows before it.
          return vectors.slice(at * dimensions, (at + 1) * dimensions)
        },
        add(hash, vector) {
          unfound += 1
          if (unfound > TRIED_TEXTS && unfound % KEPT_OF !== 0) return
          const at = known.get(hash) ?? newRow()
          known.set(hash, at)
          const row = rows[at]
          if (row === undefined) rows.push({ hash, owner, isUsed: false })
          else {
            row.hash = hash
            row.owner = owner
            row.isUsed = false
          }
          if ((at + 1) * dimensions > vectors.length) grow()
          vectors.set(vector, at * dimensions)
        },
        complete() {
          owner.isComplete = true
        },
      }
    },
  }
}
