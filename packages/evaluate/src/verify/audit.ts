// Checks receipts against the plan: the ranges that workers read must tile every object without gap
// or overlap, documents = rows + rejects, and all shards have one model and one recipe. Used by
// finalize and by verify.

import { isRowFormat } from '@reembed/formats'
import {
  addUnread,
  costOf,
  isCarried,
  isShardOf,
  type ManifestShard,
  type Plan,
  type Receipt,
  type RejectReason,
  type RejectRow,
  type Slice,
  type Totals,
  type UnreadTokens,
} from '@reembed/protocol'
import { ReembedError, shardKey } from '@reembed/shared'

/** A reject with its place in the corpus: the line is absolute within its object. */
export interface LocatedReject {
  readonly id: string | null
  readonly key: string
  readonly offset: number
  readonly line: number | null
  readonly reason: RejectReason
  readonly message: string
}

export interface Audit {
  /**
   * Adds the next shard, in the order of the plan, and returns its rejects.
   * @param bytes size of the shard's object
   * @throws ReembedError UNBALANCED or MODEL_MISMATCH, naming the shard and the difference.
   */
  add(slice: Slice, receipt: Receipt, bytes: number): LocatedReject[]
  /** Completes the audit after the last shard. @throws ReembedError UNBALANCED */
  end(): { totals: Totals; rejectReasons: Partial<Record<RejectReason, number>> }
}

/** Starts an audit of all shards of a plan. Holds the sums and one object's position. */
export function createAudit(plan: Plan): Audit {
  let shard = 0
  let open: { key: string; extent: number; unit: string; reached: number; lines: number } | undefined
  const totals = { documents: 0, rows: 0, rejects: 0, reused: 0, bytes: 0, truncated: 0, repaired: 0 }
  let unread: UnreadTokens | undefined = { tokens: 0, low: 0, high: 0, of: 0 }
  let sourceDocuments: number | undefined = plan.recipe.chunking && 0
  let tokens: number | null = 0
  const nulled: Record<string, number> = {}
  const rejectReasons: Partial<Record<RejectReason, number>> = {}

  const fail = (what: string): never => {
    throw new ReembedError('UNBALANCED', `${shardKey(plan.run, shard, plan.shards)}: ${what}`)
  }

  function close(): void {
    if (open && open.reached !== open.extent) {
      fail(`${open.unit}s ${open.reached} to ${open.extent} of ${open.key} were never read`)
    }
  }

  function addParts(slice: Slice, receipt: Receipt): LocatedReject[] {
    if (receipt.source.length !== slice.parts.length) {
      fail(`has read ${receipt.source.length} source ranges, the plan has ${slice.parts.length}`)
    }
    const located: LocatedReject[] = []
    for (const [index, planned] of slice.parts.entries()) {
      const read = receipt.source[index]
      if (read === undefined || read.key !== planned.key || read.etag !== planned.etag) {
        return fail(
          `was made from ${read?.key} (${read?.etag}), the plan has ${planned.key} (${planned.etag})`,
        )
      }
      if (open?.key !== planned.key) {
        close()
        open = {
          key: planned.key,
          extent: planned.extent ?? planned.size,
          unit: isRowFormat(planned.format) ? 'row' : 'byte',
          reached: 0,
          lines: 0,
        }
      }
      // A range in which no line begins belongs to the line before it.
      if (read.lines > 0) {
        if (read.start !== open.reached) {
          fail(
            `read ${planned.key} from ${open.unit} ${read.start}, but the shard before ended at ${open.reached}`,
          )
        }
        open.reached = read.end
      }
      for (const reject of receipt.rejects) {
        if (reject.position.part === index) located.push(locateReject(reject, planned.key, open.lines))
      }
      open.lines += read.lines
    }
    return located
  }

  return {
    add(slice, receipt, bytes) {
      const expected = {
        run: plan.run,
        shard,
        shards: plan.shards,
        spaceId: plan.spaceId,
        recipeId: plan.recipeId,
      }
      const carried = isCarried(receipt, plan) && isShardOf(receipt, plan, shard, slice)
      for (const [name, value] of Object.entries(carried ? { spaceId: plan.spaceId } : expected)) {
        const found = receipt[name as keyof typeof expected]
        if (found === value) continue
        if (name !== 'spaceId') fail(`its receipt has ${name} ${found}, the plan has ${value}`)
        throw new ReembedError(
          'MODEL_MISMATCH',
          `${shardKey(plan.run, shard, plan.shards)}: holds vectors of ${receipt.model.id}@${receipt.model.revision}, the plan is for ${plan.recipe.model.id}@${plan.recipe.model.revision}`,
        )
      }
      if (receipt.documents !== receipt.rows + receipt.rejects.length) {
        fail(
          `${receipt.documents} documents are not ${receipt.rows} rows + ${receipt.rejects.length} rejects`,
        )
      }
      const { reused = 0, tokens: paid } = costOf(receipt, plan)
      if (reused > receipt.rows) fail(`${reused} reused rows are more than its ${receipt.rows} rows`)
      const located = addParts(slice, receipt)
      if (located.length !== receipt.rejects.length) fail('a reject points outside the slice')
      totals.documents += receipt.documents
      totals.rows += receipt.rows
      totals.rejects += receipt.rejects.length
      totals.reused += reused
      totals.bytes += bytes
      totals.truncated += receipt.truncated
      totals.repaired += receipt.repaired
      for (const [column, values] of Object.entries(receipt.nulled ?? {})) {
        nulled[column] = (nulled[column] ?? 0) + values
      }
      unread = unread && receipt.unread && addUnread(unread, receipt.unread)
      if (sourceDocuments !== undefined) sourceDocuments += receipt.sourceDocuments ?? receipt.documents
      tokens = tokens === null || paid === null ? null : tokens + paid
      for (const { reason } of receipt.rejects) rejectReasons[reason] = (rejectReasons[reason] ?? 0) + 1
      shard += 1
      return located
    },
    end() {
      close()
      if (shard !== plan.shards) fail(`only ${shard} of ${plan.shards} shards were checked`)
      return {
        totals: {
          ...totals,
          tokens,
          ...(Object.keys(nulled).length > 0 && { nulled }),
          ...(unread && { unread }),
          ...(sourceDocuments !== undefined && { sourceDocuments }),
        },
        rejectReasons,
      }
    },
  }
}

/** The row of a shard in the manifest of its run. */
export function manifestShardOf(plan: Plan, key: string, bytes: number, receipt: Receipt): ManifestShard {
  const { rows, rejects, bodySha256 } = receipt
  const { tokens } = costOf(receipt, plan)
  const carried = isCarried(receipt, plan) && { carriedFrom: receipt.run }
  return { key, bytes, rows, rejects: rejects.length, tokens, bodySha256, ...carried }
}

/**
 * Locates a reject of an object.
 * @param linesBefore lines of the object before the part; null if unknown
 */
export function locateReject(
  { id, position, reason, message }: RejectRow,
  key: string,
  linesBefore: number | null,
): LocatedReject {
  const line = position.line === undefined || linesBefore === null ? null : linesBefore + position.line
  return { id: id ?? null, key, offset: position.offset, line, reason, message }
}
