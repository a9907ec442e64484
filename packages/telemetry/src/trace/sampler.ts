// Reads OTEL_TRACES_SAMPLER, which the SDK does not read. A trace is a job, so a ratio is a share
// of jobs.

import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace'
import { ReembedError } from '@reembed/shared'
import type { Environment } from './types.ts'

/** @throws ReembedError USAGE for an unknown sampler or an invalid ratio */
export function samplerOf({
  OTEL_TRACES_SAMPLER: name = '',
  OTEL_TRACES_SAMPLER_ARG: argument = '',
}: Environment): Sampler {
  const root = rootOf(name.replace(/^parentbased_/, '') || 'always_on', argument)
  return name === '' || name.startsWith('parentbased_') ? new ParentBasedSampler({ root }) : root
}

function rootOf(name: string, argument: string): Sampler {
  if (name === 'always_on') return new AlwaysOnSampler()
  if (name === 'always_off') return new AlwaysOffSampler()
  if (name !== 'traceidratio')
    throw new ReembedError(
      'USAGE',
      `expected OTEL_TRACES_SAMPLER to be always_on, always_off or traceidratio, with or without parentbased_, got '${name}'`,
    )
  const ratio = argument === '' ? 1 : Number(argument)
  if (ratio >= 0 && ratio <= 1) return new TraceIdRatioBasedSampler(ratio)
  throw new ReembedError('USAGE', `expected OTEL_TRACES_SAMPLER_ARG to be 0 to 1, got '${argument}'`)
}
