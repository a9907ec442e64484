import { findRun } from '@reembed/planner'
import {
  forcePublish,
  type PublishOutcome,
  publish as publishRun,
  rollback as rollBack,
} from '@reembed/producer'
import { readManifest, requirePlan, type Version } from '@reembed/protocol'
import { EXIT, ReembedError } from '@reembed/shared'
import { facts, print } from '../format.ts'
import { openExistingOutput } from '../open-resources.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'

interface PublishFlags extends OutputFlags, JsonFlag {
  readonly maxRejects?: string
  readonly force?: boolean
}

/**
 * `reembed publish <run>`: publishes a finished run that was held back, or with --force one that is
 * older than the current version.
 */
export async function publish(name: string, flags: PublishFlags): Promise<void> {
  await using store = await openExistingOutput(flags)
  const run = await findRun(store, name, 'newest')
  const plan = await requirePlan(store, run)
  const manifest = await readManifest(store, run)
  if (manifest === undefined) {
    throw new ReembedError(
      'RUN_NOT_FOUND',
      `run ${run} in ${store.url} is not finished: \`reembed status ${run}\` shows its progress`,
    )
  }
  const outcome = flags.force
    ? await forcePublish(store, manifest, plan)
    : await publishRun(store, manifest, { ...plan, maxRejects: flags.maxRejects ?? plan.maxRejects })
  conclude(flags, run, outcome)
}

/** `reembed rollback [run]`: publishes the previous run again, or the given one. */
export async function rollback(name: string | undefined, flags: OutputFlags & JsonFlag): Promise<void> {
  await using store = await openExistingOutput(flags)
  const run = name === undefined ? undefined : await findRun(store, name, 'newest')
  const outcome = await rollBack(store, run)
  conclude(flags, 'version' in outcome ? outcome.version.run : (run ?? ''), outcome)
}

const despiteOf = ({ overriddenReasons, unjudgedGates }: Version): string =>
  `${overriddenReasons ? `, despite: ${overriddenReasons.join('; ')}` : ''}${unjudgedGates ? `; not judged: ${unjudgedGates.join('; ')}` : ''}`

/** The queries that got worse, by the gate that failed, worst first. */
const worseRows = (outcome: PublishOutcome): [string, string][] =>
  outcome.status !== 'held'
    ? []
    : outcome.gates.flatMap(({ gate, worse = [] }) =>
        worse.map(({ query, text, before, after }): [string, string] => [
          'worse',
          `${before.toFixed(3)} to ${after.toFixed(3)}  ${query}  ${JSON.stringify(text ?? '')}  (${gate})`,
        ]),
      )

function conclude(flags: JsonFlag, run: string, outcome: PublishOutcome): void {
  const state =
    outcome.status === 'held'
      ? `not published: ${outcome.reason}`
      : outcome.status === 'superseded'
        ? `not published: version ${outcome.by.version} is the newer run ${outcome.by.run}; --force publishes this one nevertheless`
        : `version ${outcome.version.version}, current${outcome.status === 'already_current' ? ' already' : ''}${despiteOf(outcome.version)}`
  print(flags.json, { run, ...outcome }, facts([['run', `${run}  ${state}`], ...worseRows(outcome)]))
  if (outcome.status === 'held' || outcome.status === 'superseded') process.exitCode = EXIT.notPublished
}
