// Converts flags to the options of the library.

import { hostname } from 'node:os'
import { consumerOf } from '@reembed/export'
import type { PlanOptions, SpendingOptions } from '@reembed/planner'
import type { Actor } from '@reembed/protocol'
import { ReembedError } from '@reembed/shared'
import { s3OptionsOf } from './open-resources.ts'
import type { CorpusFlags, SpendingFlags } from './options.ts'

/** The options of the plan that the flags describe. */
export function planOptionsOf(flags: CorpusFlags): PlanOptions {
  const { gate, gateQueries, gateQrels } = flags
  return {
    fields: { id: flags.id, text: flags.text, template: flags.template, carry: flags.carry },
    chunking: chunkingOf(flags),
    tokenizer: flags.tokenizer,
    modelFolder: flags.model,
    prompt: flags.prompt,
    promptName: flags.promptName,
    hub: { url: process.env.HF_ENDPOINT || undefined, token: process.env.HF_TOKEN },
    truncate: flags.truncate,
    vectors: {
      dimensions: flags.dimensions,
      dtype: flags.dtype,
      includeText: flags.includeText,
      arrowSchema: flags.arrowSchema,
    },
    documentsPerShard: flags.documentsPerShard,
    maxRejects: flags.maxRejects,
    maxTruncated: flags.maxTruncated,
    reuse: flags.reuse && { run: flags.reuseFrom },
    gates: gate && {
      rules: gate,
      ...(gateQueries !== undefined &&
        gateQrels !== undefined && {
          queries: { queriesFile: gateQueries, qrelsFile: gateQrels, s3: s3OptionsOf(flags) },
        }),
    },
    queryPrompt: flags.queryPrompt,
    consumers: flags.consumers?.flatMap(name => consumerOf(name) ?? []),
    // Only endpoints of Hugging Face have one; a local endpoint costs nothing by the hour.
    spending: { ...spendingOf(flags), hasListPrice: flags.endpoint?.startsWith('hf:') ?? false },
  }
}

function chunkingOf(flags: CorpusFlags): PlanOptions['chunking'] {
  const { chunk, chunkTokens: maxTokens, chunkOverlap: overlapTokens, chunkContext: context } = flags
  if (chunk) return { maxTokens, overlapTokens, context }
  if (!maxTokens && !overlapTokens && !context) return false
  throw new ReembedError('USAGE', '--no-chunk excludes the other options of chunks: give it or them')
}

/** The price and the budget that the flags state. */
export const spendingOf = ({
  pricePerHour,
  replicas,
  maxCost,
  maxTokens,
}: SpendingFlags): SpendingOptions => ({
  pricePerHour,
  replicas,
  maxCost,
  maxTokens,
})

export interface ReasonFlag {
  readonly reason?: string
}

/** The user of this process on this machine, with the reason that they gave. */
export const actorOf = ({ reason }: ReasonFlag): Actor => {
  const { USER, LOGNAME = `uid ${process.getuid?.() ?? 'unknown'}` } = process.env
  return { by: `${USER ?? LOGNAME}@${hostname()}`, reason }
}
