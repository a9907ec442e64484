// Commands that read vectors: current, search, evaluate, export, load, switch, drop, recall.
// The actions are in ../commands/, loaded when called, so that `--help` starts fast.

import { type Command, Option } from 'commander'
import * as option from '../options.ts'
import { subcommandsOf } from './subcommand.ts'

export function addVectorCommands(program: Command): void {
  const command = subcommandsOf(program)

  option
    .add(command('current', 'Show the current version.', 'reembed current --output ./vectors'), [
      ...option.output,
      ...option.s3,
      option.json,
    ])
    .action(async options => (await import('../commands/current.ts')).current(options))

  option
    .add(
      command(
        'search',
        'Find the documents of the current version that are nearest to a text.',
        'reembed search "a bird that cannot fly" --output ./vectors',
      ).argument('<text>', 'text to search for'),
      [
        ...option.output,
        ...option.endpoint,
        ...option.s3,
        new Option('-k, --top <n>', 'show the n nearest documents').default(10).argParser(option.positive),
        new Option('--run <run>', 'search this run instead of the current version'),
        option.queryPrompt,
        new Option('--no-show-text', 'print ids only; do not read the texts from the corpus'),
        option.json,
      ],
    )
    .action(async (text, options) => (await import('../commands/search.ts')).search(text, options))

  option
    .add(
      command(
        'evaluate',
        'Score a finished run with judged queries: recall and ndcg. Gates compare later runs with the scores.',
        'reembed evaluate --output ./vectors --gate-queries queries.jsonl --gate-qrels qrels.tsv',
      ).argument('[run]', 'run id, or its first letters (default: the current version)'),
      [
        ...option.output,
        ...option.endpoint,
        ...option.s3,
        ...option.judgedQueries,
        new Option('-k, --top <n>', 'score the n nearest documents').default(10).argParser(option.positive),
        option.queryPrompt,
        option.json,
      ],
    )
    .action(async (run, options) => (await import('../commands/evaluate.ts')).evaluate(run, options))

  option
    .add(
      command(
        'export',
        'Write a finished run as files for a vector store; embeds nothing.',
        'reembed export --layout pgvector --output ./vectors --to ./load',
      ).argument('[run]', 'run id, or its first letters (default: the current version)'),
      [...option.output, ...option.exported, ...option.s3, option.json],
    )
    .action(async (run, options) => (await import('../commands/export.ts')).exportCommand(run, options))

  option
    .add(
      command(
        'load',
        'Load a finished run into a vector store, and prove that the store holds it. Searches use it after `reembed switch`.',
        'reembed load --output ./vectors --to postgres://app@db.example/search --name wiki',
      ).argument('[run]', 'run id, or its first letters (default: the current version)'),
      [...option.output, ...option.vectorStore, option.update, ...option.redis, ...option.s3, option.json],
    )
    .action(async (run, options) => (await import('../commands/load.ts')).load(run, options))

  option
    .add(
      command(
        'switch',
        'Switch the searches of a vector store to the current version, at once and as a whole.',
        'reembed switch --output ./vectors --to postgres://app@db.example/search --name wiki',
      ),
      [
        ...option.output,
        ...option.vectorStore,
        new Option('--back', 'return to what searches used before'),
        ...option.s3,
        option.reason,
        option.json,
      ],
    )
    .action(async options => (await import('../commands/load.ts')).switchCommand(options))

  option
    .add(
      command(
        'drop',
        'Delete a loaded run from a vector store, or all that searches used before. The runs stay in the output.',
        'reembed drop --keep 2 --output ./vectors --to postgres://app@db.example/search --name wiki',
      ).argument('[run]', 'run id, or its first letters'),
      [...option.output, ...option.vectorStore, option.keep, ...option.s3, option.reason, option.json],
    )
    .action(async (run, options) => (await import('../commands/load.ts')).drop(run, options))

  option
    .add(
      command(
        'recall',
        'Measure the recall of quantized vectors against float32.',
        'reembed recall --output ./vectors',
      ).argument('[run]', 'run id, or its first letters (default: the current version)'),
      [
        ...option.output,
        ...option.s3,
        new Option('-k, --top <n>', 'compare the n nearest documents').default(10).argParser(option.positive),
        new Option('--queries <n>', 'use n documents as queries').default(200).argParser(option.positive),
        new Option('--documents <n>', 'search among at most n documents')
          .default(100_000)
          .argParser(option.positive),
        option.json,
      ],
    )
    .action(async (run, options) => (await import('../commands/recall.ts')).recall(run, options))
}
