// Commands that read vectors: current, search, export, recall.
// The actions live in ../commands/, loaded when called, so that `--help` is quick.

import { type Command, Option } from 'commander'
import * as option from '../options.ts'
import { subcommandsOf } from './subcommand.ts'

export function addVectorCommands(program: Command): void {
  const command = subcommandsOf(program)

  option
    .add(
      command(
        'current',
        'The published version that readers shall use.',
        'reembed current --output ./vectors',
      ),
      [...option.output, ...option.s3, option.json],
    )
    .action(async options => (await import('../commands/current.ts')).current(options))

  option
    .add(
      command(
        'search',
        'The nearest documents of the current version to a text.',
        'reembed search "a bird that cannot fly" --output ./vectors',
      ).argument('<text>', 'what to look for'),
      [
        ...option.output,
        ...option.endpoint,
        ...option.s3,
        new Option('-k, --top <n>', 'how many documents').default(10).argParser(option.positive),
        new Option('--run <run>', 'search this run instead of the current version'),
        option.queryPrompt,
        new Option('--no-show-text', 'print ids alone, do not look the texts up in the corpus'),
        option.json,
      ],
    )
    .action(async (text, options) => (await import('../commands/search.ts')).search(text, options))

  option
    .add(
      command(
        'export',
        'Write a finished run as the files that a vector store loads; embeds nothing.',
        'reembed export --layout pgvector --output ./vectors --to ./load',
      ).argument('[run]', 'run id, or its first letters; the current version if none'),
      [...option.output, ...option.exported, ...option.s3, option.json],
    )
    .action(async (run, options) => (await import('../commands/export.ts')).exportCommand(run, options))

  option
    .add(
      command(
        'recall',
        'How many of the nearest documents are still found with vectors of fewer bits.',
        'reembed recall --output ./vectors',
      ).argument('[run]', 'run id, or its first letters; the current version if none'),
      [
        ...option.output,
        ...option.s3,
        new Option('-k, --top <n>', 'how many nearest documents').default(10).argParser(option.positive),
        new Option('--queries <n>', 'documents that are queries').default(200).argParser(option.positive),
        new Option('--documents <n>', 'compare with so many documents at most')
          .default(100_000)
          .argParser(option.positive),
        option.json,
      ],
    )
    .action(async (run, options) => (await import('../commands/recall.ts')).recall(run, options))
}
