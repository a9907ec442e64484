// What planning does, as text: on the terminal of the planner, and in the status that other
// processes read.

import type { PlanStep } from './options.ts'

const STEPS: Readonly<Record<PlanStep, readonly [text: string, noun: string]>> = {
  listing: ['listing the source', 'object'],
  sampling: ['reading a sample of the source', 'place'],
  copying: ['copying the table into the output', 'row'],
  connecting: ['connecting to the endpoint', 'try'],
  reference: ['checking the model by reference texts', 'time'],
  measuring_tokens: ['asking the endpoint what texts cost in tokens', 'request'],
  slicing: ['cutting the source into slices', 'slice'],
  comparing: ['comparing the source with the current version', 'slice'],
  counting_tokens: ['counting tokens', 'text'],
  measuring: ['measuring the speed of the endpoint', 'request'],
  embedding_sample: ['embedding the sample', 'text'],
  recording: ['recording the plan', 'object'],
}

/**
 * 'counting tokens, 12 of 64 texts'
 * @param step a `PlanStep`, or a name that only a newer planner knows
 */
export function describePlanStep({
  step,
  done,
  of,
}: {
  readonly step: string
  readonly done: number
  readonly of?: number | undefined
}): string {
  const [text, noun] = (STEPS as Readonly<Record<string, (typeof STEPS)[PlanStep]>>)[step] ?? [step, 'step']
  if (of === undefined) return done === 0 ? text : `${text}, ${counted(done, noun)}`
  return `${text}, ${done.toLocaleString('en-US')} of ${counted(of, noun)}`
}

const counted = (n: number, noun: string): string =>
  `${n.toLocaleString('en-US')} ${n === 1 ? noun : `${noun}s`}`
