// Commands about runs that are there: how far they are, whether they are right, which is current,
// what goes. The actions live in ../commands/, loaded when called, so that `--help` is quick.

import { type Command, Option } from 'commander'
import * as option from '../options.ts'
import { subcommandsOf } from './subcommand.ts'

export function addRunCommands(program: Command): void {
  const command = subcommandsOf(program)

  option
    .add(
      command(
        'status',
        'How far a run is (the newest one, if none is named).',
        'reembed status --output ./vectors',
      ).argument('[run]', 'run id, or its first letters'),
      [...option.output, ...option.redis, ...option.s3, option.json],
    )
    .action(async (run, options) => (await import('../commands/status.ts')).status(run, options))

  option
    .add(command('ls', 'The runs of an output, newest first.', 'reembed ls --output ./vectors'), [
      ...option.output,
      ...option.s3,
      option.json,
    ])
    .action(async options => (await import('../commands/ls.ts')).ls(options))

  option
    .add(
      command(
        'verify',
        'Recompute everything a run promises from its shards alone.',
        'reembed verify --output ./vectors',
      ).argument('[run]', 'run id, or its first letters; the current version if none'),
      [...option.output, ...option.s3, option.json],
    )
    .action(async (run, options) => (await import('../commands/verify.ts')).verify(run, options))

  option
    .add(
      command(
        'publish',
        'Make a finished run current that was held back.',
        'reembed publish k2jq7x --max-rejects 5% --output ./vectors',
      ).argument('<run>', 'run id, or its first letters'),
      [
        ...option.output,
        ...option.s3,
        new Option('--max-rejects <limit>', "allow so many rejects, '20' or '5%'").argParser(
          option.rejectLimit,
        ),
        new Option('--force', 'also if a newer run is current, and with any number of rejects'),
        option.json,
      ],
    )
    .action(async (run, options) => (await import('../commands/publish.ts')).publish(run, options))

  option
    .add(
      command(
        'rollback',
        'Go back to the run that was current before, or to a named one.',
        'reembed rollback --output ./vectors',
      ).argument('[run]', 'run id, or its first letters'),
      [...option.output, ...option.s3, option.json],
    )
    .action(async (run, options) => (await import('../commands/publish.ts')).rollback(run, options))

  option
    .add(
      command(
        'diff',
        'Two finished runs beside each other: documents, neighbours in each space, health.',
        'reembed diff k2jq7x m4wz2a --output ./vectors',
      )
        .argument('<a>', 'run id, or its first letters; or current')
        .argument('<b>', 'the other'),
      [
        ...option.output,
        ...option.s3,
        new Option('-k, --top <n>', 'how many nearest documents').default(10).argParser(option.positive),
        new Option('--queries <n>', 'documents whose neighbours are compared')
          .default(200)
          .argParser(option.positive),
        new Option('--documents <n>', 'look for neighbours among so many documents at most')
          .default(20_000)
          .argParser(option.positive),
        new Option('--vectors', 'the same vectors are expected: refused across spaces'),
        option.json,
      ],
    )
    .action(async (a, b, options) => (await import('../commands/diff.ts')).diff(a, b, options))

  option
    .add(
      command(
        'retry',
        'Embed what the model refused in a finished run once more, as a new run; all else is reused.',
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
    ['pause', 'Begin no more jobs of a run; those under way are finished.'],
    ['cancel', 'Give a run up; what it has made stays.'],
    ['resume', 'Let a paused or cancelled run go on.'],
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
          option.json,
        ],
      )
      .action(async (run, options) => (await import('../commands/control.ts'))[name](run, options))
  }

  option
    .add(
      command(
        'gc',
        'Say which runs nobody needs any more, and with --delete remove them. Nothing else ever deletes.',
        'reembed gc --keep 3 --output ./vectors',
      ).argument('[run]', 'only this run, by its id or the first letters of it, whatever its age'),
      [
        ...option.output,
        ...option.s3,
        new Option('--keep <n>', 'published runs that stay, the current one included')
          .default(3)
          .argParser(option.positive),
        new Option('--older-than <days>', 'what was written or replaced later stays')
          .default(7)
          .argParser(option.zeroOrMore),
        new Option('--delete', 'do it'),
        option.json,
      ],
    )
    .action(async (run, options) => (await import('../commands/gc.ts')).gc(run, options))
}
