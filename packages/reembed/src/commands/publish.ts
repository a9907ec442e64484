import { findRun, findVersion } from '@reembed/planner'
import {
  forcePublish,
  type PublishOutcome,
  publish as publishRun,
  readStoreTargets,
  rollback as rollBack,
} from '@reembed/producer'
import { requirePlan } from '@reembed/protocol'
import { describeWorse, otherRuns, outcomeSentence, type Row } from '@reembed/render'
import { requireManifest } from '@reembed/shard'
import { EXIT, messageOf, shellWord, unlessAborted } from '@reembed/shared'
import type { Store } from '@reembed/store'
import { onInterrupt } from '../interrupt.ts'
import { openExistingOutput } from '../open-resources.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'
import { facts, print } from '../output.ts'
import { actorOf, type ReasonFlag } from '../requests.ts'

interface PublishFlags extends OutputFlags, JsonFlag, ReasonFlag {
  readonly maxRejects?: string
  readonly maxTruncated?: string
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
  const manifest = await requireManifest(store, run)
  const outcome = flags.force
    ? await forcePublish(store, manifest, plan, actorOf(flags))
    : await publishRun(store, manifest, {
        ...plan,
        maxRejects: flags.maxRejects ?? plan.maxRejects,
        maxTruncated: flags.maxTruncated ?? plan.maxTruncated,
        actor: actorOf(flags),
      })
  conclude(flags, run, outcome)
}

/** `reembed rollback [run]`: publishes the previous run again, or the given run or version. */
export async function rollback(
  name: string | undefined,
  flags: OutputFlags & JsonFlag & ReasonFlag,
): Promise<void> {
  await using store = await openExistingOutput(flags)
  const run = name === undefined ? undefined : await findVersion(store, name)
  const outcome = await rollBack(store, run, actorOf(flags))
  const published = 'version' in outcome ? outcome.version.run : (run ?? '')
  conclude(flags, published, outcome, flags.json ? [] : await searchesAfter(outcome, store))
}

/** Never fails: the version is published, and only the output of the command tells so. */
async function searchesAfter(outcome: PublishOutcome, store: Store): Promise<Row[]> {
  if (!('version' in outcome)) return []
  const { signal, stop } = onInterrupt()
  try {
    const targets = await unlessAborted(signal, readStoreTargets(store))
    return otherRuns(targets, outcome.version.run).map(({ address, name, run: used, isLoaded }): Row => {
      const where = `--output ${shellWord(store.url)} --to ${shellWord(address)} --name ${name}`
      const commands = (isLoaded ? ['switch'] : ['load', 'switch']).map(
        verb => `\`reembed ${verb} ${where}\``,
      )
      return ['searches', `${name} in ${address} still uses run ${used}: ${commands.join(', then ')}`]
    })
  } catch (error) {
    return [['searches', `vector stores were not examined: ${messageOf(error)}`]]
  } finally {
    stop()
  }
}

function conclude(flags: JsonFlag, run: string, outcome: PublishOutcome, more: Row[] = []): void {
  const hint = outcome.status === 'superseded' ? '; --force publishes this one nevertheless' : ''
  const rows = [
    ['run', `${run}  ${outcomeSentence(outcome)}${hint}`.trimStart()] as const,
    ...describeWorse(outcome),
    ...more,
  ]
  print(flags.json, { run, ...outcome }, facts(rows))
  if (outcome.status === 'held' || outcome.status === 'superseded') process.exitCode = EXIT.notPublished
}
