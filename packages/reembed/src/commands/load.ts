import { findRun } from '@reembed/planner'
import { openQueue } from '@reembed/queue'
import { droppedRows, loadRows, loadStep, switchJson, switchRows } from '@reembed/render'
import { requireManifest } from '@reembed/shard'
import { EXIT, isRunId, ReembedError } from '@reembed/shared'
import { dropOldTargets, dropTarget, loadRun, openVectorStore, switchStore } from '@reembed/sinks'
import { onInterrupt } from '../interrupt.ts'
import { openExistingOutput, requireRedis } from '../open-resources.ts'
import type { JsonFlag, OutputFlags, RedisFlags } from '../options.ts'
import { facts, note, print } from '../output.ts'
import { actorOf, type ReasonFlag } from '../requests.ts'
import { steps } from '../step-line.ts'

interface Flags extends OutputFlags, JsonFlag {
  readonly to: string
  readonly name?: string
}

/** `reembed load`: writes a finished run into a vector store, and proves that it holds the run. */
export async function load(
  name: string | undefined,
  flags: Flags & RedisFlags & { readonly update?: boolean },
): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const { signal } = stack.adopt(onInterrupt(), ({ stop }) => stop())
  const output = stack.use(await openExistingOutput(flags))
  const manifest = await requireManifest(output, await findRun(output, name, 'current'))
  const vectors = stack.use(await openVectorStore(flags.to))
  const queue = flags.redis ? stack.use(await openQueue(requireRedis(flags))) : undefined
  const noted = new Set<string>()
  const outcome = await loadRun(output, manifest, vectors, {
    name: flags.name,
    update: flags.update,
    queue,
    by: actorOf({}).by,
    signal,
    onProgress(progress) {
      const { waitingFor } = progress
      if (waitingFor !== undefined && !noted.has(waitingFor)) note(`waiting: ${waitingFor}`)
      noted.add(waitingFor ?? '')
      steps.show(loadStep(progress, manifest))
    },
  }).catch((error: unknown) => {
    if (!signal.aborted) throw error
    throw new ReembedError('INTERRUPTED', 'stopped: loaded shards are kept, the same command continues')
  })
  const next = ['next', '`reembed switch` with the same --output, --to and --name'] as const
  print(flags.json, outcome, facts([...loadRows(outcome), ...(outcome.proof.updated ? [] : [next])]))
}

/** `reembed switch`: points the name that searches use to the current version, or back. */
export async function switchCommand(flags: Flags & ReasonFlag & { readonly back?: boolean }): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const { signal } = stack.adopt(onInterrupt(), ({ stop }) => stop())
  const output = stack.use(await openExistingOutput(flags))
  const vectors = stack.use(await openVectorStore(flags.to))
  const { name, back } = flags
  const outcome = await switchStore(output, vectors, { name, back, ...actorOf(flags), signal })
  print(flags.json, switchJson(outcome), facts(switchRows(outcome)))
}

/** `reembed drop`: deletes the table of a run from a vector store, or those that searches left. */
export async function drop(
  run: string | undefined,
  flags: Flags & ReasonFlag & { readonly keep?: number; readonly sinkKeep?: number },
): Promise<void> {
  const keep = flags.keep ?? (run === undefined ? flags.sinkKeep : undefined)
  if ((run === undefined) === (keep === undefined))
    throw new ReembedError('USAGE', 'what to drop is not stated: give a run, or --keep <n> without a run')
  await using output = await openExistingOutput(flags)
  await using vectors = await openVectorStore(flags.to)
  const options = { name: flags.name, ...actorOf(flags) }
  if (run === undefined) {
    const dropped = await dropOldTargets(output, vectors, keep ?? 0, options)
    if (dropped.refused.length > 0) process.exitCode = EXIT.failure
    return print(flags.json, dropped, facts(droppedRows(dropped)))
  }
  // A whole id needs no plan: `gc` may have deleted the run before.
  const id = isRunId(run) ? run : await findRun(output, run, 'current')
  const record = await dropTarget(output, vectors, id, options)
  print(flags.json, record, facts([['dropped', `${record.target} of run ${record.run}`]]))
}
