// Commands that embed, or estimate what embedding would need: run, plan, preview, enqueue, worker,
// exporter. The actions are in ../commands/, loaded when called, so that `--help` starts fast.

import { type Command, Option } from 'commander'
import * as option from '../options.ts'
import { subcommandsOf } from './subcommand.ts'

export function addEmbeddingCommands(program: Command): void {
  const command = subcommandsOf(program)

  option
    .add(
      command(
        'run',
        'Plan, enqueue and follow a run to its end; start Redis and an endpoint if none is given.',
        'reembed run --source ./docs --output ./vectors',
      ),
      [
        ...option.corpus,
        ...option.output,
        ...option.endpoint,
        ...option.redis,
        ...option.worker,
        ...option.s3,
        ...option.spending,
        ...option.gates,
        option.whenDone,
        option.json,
      ],
    )
    .action(async options => (await import('../commands/run.ts')).run(options))

  option
    .add(command('plan', 'Show what a run would do; writes nothing.', 'reembed plan --source ./docs'), [
      ...option.corpus,
      option.optionalOutput,
      ...option.endpoint,
      ...option.s3,
      new Option('--explain', 'show which vectors of --output are reused, and why the others are not'),
      ...option.spending,
      option.json,
    ])
    .action(async options => (await import('../commands/plan.ts')).plan(options))

  option
    .add(
      command(
        'preview',
        'Embed a sample with the new model and compare it with the current version; writes nothing unless recorded.',
        'reembed preview --source ./docs --output ./vectors --endpoint http://tei:8080 --sample 1%',
      ),
      [
        ...option.corpus,
        ...option.output,
        ...option.endpoint,
        ...option.s3,
        ...option.spending,
        ...option.gates,
        new Option(
          '--sample <size>',
          "embed this share or number of documents, like '1%' (at least 500) or '2000' (at most 20,000)",
        )
          .default('1%')
          .argParser(option.sampleSize),
        new Option('-k, --top <n>', 'compare the n nearest documents').default(10).argParser(option.positive),
        new Option('--to <file>', 'also write a report: HTML, Markdown if it ends in .md, - prints Markdown'),
        new Option('--record', 'record it in the output: the console shows it'),
        option.json,
      ],
    )
    .action(async options => (await import('../commands/preview.ts')).preview(options))

  option
    .add(
      command(
        'enqueue',
        'Plan a run and enqueue its jobs; workers process and publish it.',
        'reembed enqueue --source s3://corpora/wiki/ --output s3://vectors/wiki --endpoint http://tei:8080 --redis rediss://redis:6379',
      ),
      [
        ...option.corpus,
        ...option.output,
        ...option.endpoint,
        ...option.redis,
        ...option.s3,
        ...option.spending,
        ...option.gates,
        option.awaitEndpoint,
        option.json,
      ],
    )
    .action(async options => (await import('../commands/enqueue.ts')).enqueue(options))

  option
    .add(
      command(
        'worker',
        'Process jobs until stopped; SIGTERM drains.',
        'reembed worker --output s3://vectors/ --endpoint http://tei:8080 --redis rediss://redis:6379',
      ),
      [
        ...option.outputs,
        option.sources,
        option.sinks,
        ...option.endpoint,
        ...option.redis,
        ...option.worker,
        ...option.s3,
        option.drain,
        option.giveUp,
        ...option.metrics,
      ],
    )
    .action(async options => (await import('../commands/worker.ts')).worker(options))

  option
    .add(
      command(
        'exporter',
        'Serve queue, worker and run gauges for Prometheus; needs no worker.',
        'reembed exporter --output s3://vectors/ --redis rediss://redis:6379 --metrics 9465',
      ),
      [...option.optionalOutputs, ...option.redis, ...option.s3, ...option.metrics],
    )
    .action(async (options, self) => (await import('../commands/exporter.ts')).exporter(options, self))
}
