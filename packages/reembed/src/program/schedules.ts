// Commands for scheduled runs: init, producer, schedule. The actions are in ../commands/, loaded
// when called, so that `--help` starts fast.

import type { Command } from 'commander'
import * as option from '../options.ts'
import { subcommandsOf } from './subcommand.ts'

export function addScheduleCommands(program: Command): void {
  const command = subcommandsOf(program)

  option
    .add(
      command(
        'init',
        'Inspect a corpus and write a reembed.yaml for it.',
        'reembed init --source s3://corpora/wiki/ --output s3://vectors/wiki',
      ),
      [
        ...option.corpus,
        option.optionalOutput,
        ...option.endpoint,
        ...option.redis,
        ...option.worker,
        ...option.s3,
        ...option.spending,
        ...option.gates,
      ],
    )
    .action(async (options, self) => (await import('../commands/init.ts')).init(options, self))

  const fleet = [
    ...option.corpus,
    ...option.output,
    ...option.endpoint,
    ...option.redis,
    ...option.s3,
    ...option.spending,
    ...option.gates,
    option.awaitEndpoint,
  ]
  option
    .add(
      command(
        'producer',
        'Plan scheduled runs of reembed.yaml, serve hooks and sweep, until stopped.',
        'reembed producer --config reembed.yaml --hooks 9470',
      ),
      [...fleet, ...option.hooks, ...option.metrics],
    )
    .action(async (options, self) => (await import('../commands/producer.ts')).producer(options, self))

  // The parent has no options: commander would assign a `--config` after the subcommand to the
  // parent.
  const schedule = program
    .command('schedule')
    .description('Manage the schedules of reembed.yaml.')
    .exitOverride()
    .showSuggestionAfterError()
  const sub = subcommandsOf(schedule)
  option
    .add(
      sub(
        'add',
        'Add a schedule to reembed.yaml.',
        "reembed schedule add nightly --cron '0 3 * * *' --when model_changed",
      ),
      option.schedule,
    )
    .argument('<name>', 'name of a-z, 0-9 and -')
    .action(async (name, options, self) => (await import('../commands/schedule.ts')).add(name, options, self))
  option
    .add(sub('ls', 'List the schedules with their next and last ticks.', 'reembed schedule ls'), [
      option.optionalOutput,
      ...option.s3,
      option.json,
    ])
    .action(async (options, self) => (await import('../commands/schedule.ts')).ls(options, self))
  sub('rm', 'Remove a schedule from reembed.yaml.', 'reembed schedule rm nightly')
    .argument('<name>')
    .action(async (name, _, self) => (await import('../commands/schedule.ts')).rm(name, self))
  option
    .add(
      sub(
        'tick',
        'Check the schedules once and plan due runs; for cron or a Kubernetes CronJob.',
        'reembed schedule tick',
      ),
      [...fleet, option.json],
    )
    .action(async (options, self) => (await import('../commands/schedule.ts')).tick(options, self))
}
