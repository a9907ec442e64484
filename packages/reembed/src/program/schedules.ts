// Commands about runs that begin by themselves: init, producer, schedule.
// The actions live in ../commands/, loaded when called, so that `--help` is quick.

import type { Command } from 'commander'
import * as option from '../options.ts'
import { subcommandsOf } from './subcommand.ts'

export function addScheduleCommands(program: Command): void {
  const command = subcommandsOf(program)

  option
    .add(
      command(
        'init',
        'Look at a corpus and write a reembed.yaml for it.',
        'reembed init --source s3://corpora/wiki/ --output s3://vectors/wiki',
      ),
      [...option.corpus, option.optionalOutput, ...option.endpoint, ...option.redis, ...option.s3],
    )
    .action(async options => (await import('../commands/init.ts')).init(options))

  const fleet = [
    ...option.corpus,
    ...option.output,
    ...option.endpoint,
    ...option.redis,
    ...option.s3,
    ...option.spending,
    ...option.gates,
  ]
  option
    .add(
      command(
        'producer',
        'Stay up: plan what the schedules of reembed.yaml want, take hooks, sweep.',
        'reembed producer --config reembed.yaml --hooks 9470',
      ),
      [...fleet, ...option.hooks, ...option.metrics],
    )
    .action(async (options, self) => (await import('../commands/producer.ts')).producer(options, self))

  // Without options of its own: commander would take a `--config` behind the subcommand for this
  // one's.
  const schedule = program
    .command('schedule')
    .description('When to run by itself: the schedules of reembed.yaml.')
    .exitOverride()
    .showSuggestionAfterError()
  const sub = subcommandsOf(schedule)
  option
    .add(
      sub(
        'add',
        'Add a schedule to the file.',
        "reembed schedule add nightly --cron '0 3 * * *' --when model_changed",
      ),
      option.schedule,
    )
    .argument('<name>', 'a-z, 0-9 and -')
    .action(async (name, options, self) => (await import('../commands/schedule.ts')).add(name, options, self))
  option
    .add(sub('ls', 'The schedules, their next ticks and what became of the last.', 'reembed schedule ls'), [
      option.optionalOutput,
      ...option.s3,
      option.json,
    ])
    .action(async (options, self) => (await import('../commands/schedule.ts')).ls(options, self))
  sub('rm', 'Take a schedule out of the file.', 'reembed schedule rm nightly')
    .argument('<name>')
    .action(async (name, _, self) => (await import('../commands/schedule.ts')).rm(name, self))
  option
    .add(
      sub(
        'tick',
        'Look once, for cron or a Kubernetes CronJob; plans what is due and nobody took.',
        'reembed schedule tick',
      ),
      [...fleet, option.json],
    )
    .action(async (options, self) => (await import('../commands/schedule.ts')).tick(options, self))
}
