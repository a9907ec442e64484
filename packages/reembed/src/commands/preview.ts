import { reportPreview } from '@reembed/console'
import { previewModel } from '@reembed/planner'
import { putPreview } from '@reembed/protocol'
import { describeModelPreview, modelPreviewData, modelPreviewRecord } from '@reembed/render'
import { ReembedError } from '@reembed/shared'
import { embedDocuments } from '@reembed/worker'
import { notePlan } from '../notices.ts'
import { openExistingOutput, openOrStartEndpoint, openSource, s3OptionsOf } from '../open-resources.ts'
import type { CorpusFlags, JsonFlag, OutputFlags } from '../options.ts'
import { facts, note, print, shortId } from '../output.ts'
import { actorOf, planOptionsOf } from '../requests.ts'
import { writeReport } from './report.ts'

interface Flags extends CorpusFlags, OutputFlags, JsonFlag {
  readonly sample: string
  readonly top: number
  readonly to?: string
  readonly record?: boolean
}

/**
 * `reembed preview`: embeds a sample with the new model, compares it with the current version, and
 * estimates tokens, time and price of the whole run. Writes nothing without `--record`.
 */
export async function preview(flags: Flags): Promise<void> {
  const { sample, top, gateQueries: queriesFile, gateQrels: qrelsFile } = flags
  if ((queriesFile === undefined) !== (qrelsFile === undefined))
    throw new ReembedError('USAGE', '--gate-queries and --gate-qrels need each other: give both')
  await using stack = new AsyncDisposableStack()
  const corpus = stack.use(await openSource(flags))
  const output = stack.use(await openExistingOutput(flags))
  const shown = await previewModel(corpus, () => openOrStartEndpoint(flags, stack), planOptionsOf(flags), {
    output,
    embedDocuments,
    sample,
    top,
    queries:
      queriesFile === undefined || qrelsFile === undefined
        ? undefined
        : { queriesFile, qrelsFile, s3: s3OptionsOf(flags) },
    s3: s3OptionsOf(flags),
    onNotice: notePlan,
  })
  print(flags.json, modelPreviewData(shown), facts(describeModelPreview(shown)))
  const figures = modelPreviewRecord(shown)
  if (flags.to !== undefined) await writeReport(reportPreview(figures), flags.to)
  if (!flags.record) return
  const { number } = await putPreview(output, { ...figures, ...actorOf({}) })
  note(
    `recorded  as preview ${number} of run ${shortId(figures.run)}: the page Compare of \`reembed console\` shows it`,
  )
}
