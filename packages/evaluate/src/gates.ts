// Gates: conditions that a finished run must meet before it is published. A gate is one line:
//
//   recall@10 drop 0.02    recall on the user's queries at most 0.02 below the current version
//   recall@10 min 0.6      recall on the user's queries at least 0.6; ndcg@k has the same rules
//   overlap@10 min 0.3     mean share of a document's neighbours in the current version that it keeps
//   rows drop 5%           at most 5 % fewer rows than the current version
//   rejects max 1%         at most 1 % of the documents rejected

import { ReembedError } from '@reembed/shared'

export interface Gate {
  readonly text: string
  readonly metric: 'recall' | 'ndcg' | 'overlap' | 'rows' | 'rejects'
  readonly k: number
  readonly rule: 'min' | 'max' | 'drop'
  readonly value: number
}

const RULES: Readonly<Record<Gate['metric'], readonly Gate['rule'][]>> = {
  recall: ['min', 'drop'],
  ndcg: ['min', 'drop'],
  overlap: ['min'],
  rows: ['drop'],
  rejects: ['max'],
}

/**
 * Parses one gate.
 * @throws ReembedError USAGE with examples
 */
export function parseGate(text: string): Gate {
  const [, metric, k, rule, value, percent] =
    /^(recall|ndcg|overlap|rows|rejects)(?:@(\d{1,4}))?\s+(min|max|drop)\s+(\d+(?:\.\d+)?)(\s*%)?$/.exec(
      text.trim(),
    ) ?? []
  const gate = {
    text: text.trim(),
    metric: metric as Gate['metric'],
    k: Number(k ?? 10),
    rule: rule as Gate['rule'],
    value: Number(value) / (percent ? 100 : 1),
  }
  const fits = metric !== undefined && RULES[gate.metric].includes(gate.rule) && gate.value <= 1 && gate.k > 0
  if (fits) return gate
  throw new ReembedError(
    'USAGE',
    `'${text}' is not a valid gate: use the form 'recall@10 drop 0.02', 'ndcg@10 min 0.4', 'overlap@10 min 0.3', 'rows drop 5%' or 'rejects max 1%'`,
  )
}

/** Whether a gate needs query vectors and judgements. */
export const needsQueries = ({ metric }: Gate): boolean => metric === 'recall' || metric === 'ndcg'
