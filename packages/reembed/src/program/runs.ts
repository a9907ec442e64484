// Commands for existing runs: progress, verification, publishing, deletion. The actions are in
// ../commands/, loaded when called, so that `--help` starts fast.

import { type Command, Option } from 'commander'
import * as option from '../options.ts'
import { subcommandsOf } from './subcommand.ts'

export function addRunCommands(program: Command): void {
  const command = subcommandsOf(program)

  option
    .add(
      command(
        'status',
        'Show the state of a run: progress, speed, cost, workers (default: the newest one).',
        'reembed status --output ./vectors',
      ).argument('[run]', 'run id, or its first letters'),
      [
        ...option.output,
        ...option.redis,
        ...option.s3,
        new Option('--watch', 'show the run again when it changes, until it is published or stopped'),
        option.json,
      ],
    )
    .action(async (run, options) => (await import('../commands/status.ts')).status(run, options))

  option
    .add(command('ls', 'List the runs of an output, newest first.', 'reembed ls --output ./vectors'), [
      ...option.output,
      ...option.redis,
      ...option.s3,
      option.json,
    ])
    .action(async options => (await import('../commands/ls.ts')).ls(options))

  option
    .add(
      command(
        'console',
        'Serve pages of the outputs: runs, progress, workers, versions; actions with REEMBED_CONSOLE_ACTIONS_TOKEN.',
        'reembed console --output ./vectors --redis redis://localhost:6379',
      ),
      [...option.consoleOptions, ...option.redis, ...option.s3],
    )
    .action(async (options, self) => (await import('../commands/console.ts')).consoleCommand(options, self))

  option
    .add(
      command(
        'report',
        'Write the report of a run, or of two runs compared, to one file: gates, queries that got worse, score thresholds.',
        'reembed report current k2jq7x --output ./vectors',
      )
        .argument('[a]', 'run id, its first letters, a version number, or current (default: the newest run)')
        .argument('[b]', 'the run that may replace it: compares both'),
      [
        ...option.output,
        ...option.s3,
        new Option(
          '--to <file>',
          'write to this file: HTML, or Markdown if it ends in .md; - prints Markdown (default: reembed-report-<run>.html)',
        ),
        new Option('--texts', 'show the texts of the documents in the queries that got worse'),
      ],
    )
    .action(async (a, b, options) => (await import('../commands/report.ts')).report(a, b, options))

  option
    .add(
      command(
        'versions',
        'List the published versions, newest first: run, model, when, by whom and why.',
        'reembed versions --output ./vectors',
      ),
      [...option.output, ...option.s3, option.json],
    )
    .action(async options => (await import('../commands/versions.ts')).versions(options))

  option
    .add(
      command(
        'verify',
        'Recompute counts, ids, hashes and model of a run from its shards alone.',
        'reembed verify --output ./vectors',
      ).argument('[run]', 'run id, or its first letters (default: the current version)'),
      [
        ...option.output,
        ...option.s3,
        new Option('--part <k/n>', 'verify one of n parts; all of them verify all but repeated vectors'),
        option.json,
      ],
    )
    .action(async (run, options) => (await import('../commands/verify.ts')).verify(run, options))

  option
    .add(
      command(
        'rejects',
        'List what a run did not embed (default: the newest run): file, line, id, reason, beginning of the text.',
        'reembed rejects --csv --output ./vectors',
      ).argument('[run]', 'run id, or its first letters'),
      [
        ...option.output,
        ...option.s3,
        new Option('--csv', 'print CSV'),
        new Option('--no-show-text', 'do not read the texts from the corpus'),
        new Option('--json', 'print one JSON document per line'),
      ],
    )
    .action(async (run, options) => (await import('../commands/rejects.ts')).rejects(run, options))

  option
    .add(
      command(
        'publish',
        'Publish a finished run that was held back.',
        'reembed publish k2jq7x --max-rejects 5% --output ./vectors',
      ).argument('<run>', 'run id, or its first letters'),
      [
        ...option.output,
        ...option.s3,
        new Option('--max-rejects <limit>', "allow at most this many rejects, like '20' or '5%'").argParser(
          option.rejectLimit,
        ),
        option.maxTruncated,
        new Option('--force', 'publish despite a newer version, rejects, unread text or failed gates'),
        option.reason,
        option.json,
      ],
    )
    .action(async (run, options) => (await import('../commands/publish.ts')).publish(run, options))

  option
    .add(
      command(
        'rollback',
        'Publish the previous run again, or the given one.',
        'reembed rollback --output ./vectors',
      ).argument('[run]', 'run id, or its first letters'),
      [...option.output, ...option.s3, option.reason, option.json],
    )
    .action(async (run, options) => (await import('../commands/publish.ts')).rollback(run, options))

  option
    .add(
      command(
        'diff',
        'Compare two finished runs: documents, nearest neighbours, health.',
        'reembed diff k2jq7x m4wz2a --output ./vectors',
      )
        .argument('<a>', 'run id, its first letters, a version number, or current')
        .argument('<b>', 'run to compare with'),
      [
        ...option.output,
        ...option.s3,
        new Option('-k, --top <n>', 'compare the n nearest documents').default(10).argParser(option.positive),
        new Option('--queries <n>', 'compare the neighbours of n documents')
          .default(200)
          .argParser(option.positive),
        new Option('--documents <n>', 'search neighbours among at most n documents')
          .default(20_000)
          .argParser(option.positive),
        new Option('--vectors', 'compare cosines; fails for runs of different models'),
        new Option(
          '--changes <file>',
          'only write the ids that were added, changed or removed to this new file',
        ),
        option.json,
      ],
    )
    .action(async (a, b, options) => (await import('../commands/diff.ts')).diff(a, b, options))

  option
    .add(
      command(
        'retry',
        'Embed the documents again that the model refused in a finished run; a new run reuses all other vectors.',
        'reembed retry k2jq7x --rejects --output ./vectors --endpoint http://tei:8080',
      ).argument('<run>', 'run id, or its first letters'),
      [
        ...option.output,
        ...option.endpoint,
        ...option.redis,
        ...option.worker,
        ...option.s3,
        ...option.spending,
        option.whenDone,
        option.rejects,
        option.json,
      ],
    )
    .action(async (run, options) => (await import('../commands/retry.ts')).retry(run, options))

  for (const [name, what] of [
    ['pause', 'Stop starting jobs of a run; jobs in flight finish.'],
    ['cancel', 'Stop a run until `reembed resume`; completed shards are kept.'],
    ['resume', 'Continue a paused or cancelled run.'],
  ] as const) {
    option
      .add(
        command(name, what, `reembed ${name} k2jq7x --output ./vectors`).argument(
          '<run>',
          'run id, or its first letters',
        ),
        [
          ...option.output,
          ...(name === 'resume' ? [...option.redis, ...option.spending] : []),
          ...option.s3,
          option.reason,
          option.json,
        ],
      )
      .action(async (run, options) => (await import('../commands/control.ts'))[name](run, options))
  }

  option
    .add(
      command(
        'gc',
        'List runs that can be deleted, and with --delete delete them. No other command deletes runs.',
        'reembed gc --keep 3 --output ./vectors',
      ).argument('[run]', 'check this run only, by its id or first letters, whatever its age'),
      [
        ...option.output,
        ...option.s3,
        new Option('--keep <n>', 'keep the n newest published runs, the current one included')
          .default(3)
          .argParser(option.positive),
        new Option('--older-than <days>', 'keep runs written or replaced within this many days')
          .default(7)
          .argParser(option.zeroOrMore),
        new Option('--delete', 'delete instead of listing'),
        option.json,
      ],
    )
    .action(async (run, options) => (await import('../commands/gc.ts')).gc(run, options))
}
