import { type ExportLayoutName, exportRun } from '@reembed/export'
import { findRun } from '@reembed/planner'
import { bytes, count, counted } from '@reembed/render'
import { type Quantization, requireManifest } from '@reembed/shard'
import { absoluteUrl, ReembedError, unlessAborted } from '@reembed/shared'
import { openStore } from '@reembed/store'
import { onInterrupt } from '../interrupt.ts'
import { openExistingOutput, s3OptionsOf } from '../open-resources.ts'
import type { JsonFlag, OutputFlags } from '../options.ts'
import { facts, note, print } from '../output.ts'
import { manifestOf } from './diff.ts'

interface Flags extends OutputFlags, JsonFlag {
  readonly layout: ExportLayoutName
  readonly to?: string
  readonly quantize?: readonly Quantization[]
  readonly name?: string
  readonly since?: string
  readonly skipRefused?: boolean
}

const NOTE_EVERY_MS = 5_000

/**
 * `reembed export`: writes a finished run as files that one database or library loads. The same
 * command continues an interrupted export.
 */
export async function exportCommand(name: string | undefined, flags: Flags): Promise<void> {
  await using stack = new AsyncDisposableStack()
  const store = stack.use(await openExistingOutput(flags))
  const run = await findRun(store, name, 'current')
  const manifest = await requireManifest(store, run)
  const since = flags.since === undefined ? undefined : await manifestOf(store, flags.since)
  const to =
    flags.to ??
    `${store.url.replace(/\/$/, '')}/exports/${run}/${flags.layout}${since === undefined ? '' : `-since-${since.run}`}`
  // A loader reads every object in the target, so the check object of a safe store must not
  // exist. One process writes an export, so an unsafe store is safe enough.
  const target = stack.use(
    await openStore(absoluteUrl(to), { create: true, unsafe: true, s3: s3OptionsOf(flags) }),
  )
  const { signal } = stack.adopt(onInterrupt(), ({ stop }) => stop())

  let notedMs = Date.now()
  const exported = exportRun(store, manifest, target, {
    ...flags,
    since,
    signal,
    onProgress({ shards, rows }) {
      if (Date.now() - notedMs < NOTE_EVERY_MS) return
      notedMs = Date.now()
      note(`${count(shards)} of ${counted(manifest.shards, 'shard')}  ${count(rows)} rows`)
    },
  })
  const outcome = await unlessAborted(signal, exported).catch((error: unknown) => {
    if (!signal.aborted) throw error
    throw new ReembedError('INTERRUPTED', 'stopped: written files are kept, the same command continues')
  })
  const { rows, deletes, refused, files, existingFiles } = outcome
  print(
    flags.json,
    { run, layout: flags.layout, target: target.url, ...outcome },
    `${facts([
      ['run', run],
      ['layout', flags.layout],
      ['rows', count(rows)],
      ...(flags.since === undefined
        ? []
        : [['deletes', `${counted(deletes, 'id')} in deletes/, to delete first`] as const]),
      ...(refused === 0 ? [] : [['refused', `${counted(refused, 'row')}, listed in refused/`] as const]),
      [
        'files',
        `${count(files)}${existingFiles > 0 ? `, ${count(existingFiles)} of them written before` : ''}, ${bytes(outcome.bytes)} written`,
      ],
      ['target', target.url],
    ])}\n\nTo load it:\n${outcome.loadCommands}`,
  )
}
