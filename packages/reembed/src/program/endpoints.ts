// Commands about what a run stands on: doctor, endpoint, embed.
// The actions live in ../commands/, loaded when called, so that `--help` is quick.

import { type Command, Option } from 'commander'
import * as option from '../options.ts'
import { subcommandsOf } from './subcommand.ts'

export function addEndpointCommands(program: Command): void {
  const command = subcommandsOf(program)

  option
    .add(
      command(
        'doctor',
        'Check Redis, the store and the endpoint, and say how to mend what is wrong.',
        'reembed doctor --output s3://vectors/wiki --endpoint http://tei:8080 --redis rediss://redis:6379',
      ),
      [
        option.optionalOutput,
        option.optionalSource,
        ...option.endpoint,
        ...option.redis,
        ...option.s3,
        option.json,
      ],
    )
    .action(async options => (await import('../commands/doctor.ts')).doctor(options))

  const endpoints = program
    .command('endpoint')
    .description('Measure and manage endpoints.')
    .exitOverride()
    .showSuggestionAfterError()
  const sub = subcommandsOf(endpoints)
  option
    .add(
      sub(
        'bench',
        'How much a live endpoint does, and with which setting it does most.',
        'reembed endpoint bench --endpoint http://tei:8080 --tokens 512 --price-per-hour 1.00',
      ),
      [
        ...option.requiredEndpoint,
        new Option('--tokens <n,...>', 'length of the texts')
          .default([128], '128')
          .argParser(option.positives),
        new Option(
          '--texts <n,...>',
          'texts in a request (default: 1, 8 and 32, within the limits)',
        ).argParser(option.positives),
        new Option(
          '--at-once <n,...>',
          'requests at once (default: 1, 4, 16 and 64, within the limits)',
        ).argParser(option.positives),
        new Option('--seconds <n>', 'time for each setting').default(5).argParser(option.amount),
        ...option.price,
        option.json,
      ],
    )
    .action(async options => (await import('../commands/endpoint-bench.ts')).endpointBench(options))

  const one = (name: string, description: string, example: string): Command =>
    sub(name, description, example).argument('<endpoint>', 'hf:namespace/name')
  const hf = async () => import('../commands/endpoint.ts')
  option
    .add(
      sub(
        'deploy',
        'Make an endpoint on Hugging Face; it sleeps when it has nothing to do.',
        'reembed endpoint deploy BAAI/bge-base-en-v1.5 --as hf:acme/bge --instance nvidia-a10g-x1 --wait',
      ).argument('<model>', 'id on the Hub'),
      option.deploy,
    )
    .action(async (model, options) => (await hf()).deploy(model, options))
  option
    .add(one('status', 'State, replicas, model and revision.', 'reembed endpoint status hf:acme/bge'), [
      option.json,
    ])
    .action(async (name, options) => (await hf()).status(name, options))
  one('wait', 'Wake it if it sleeps, and wait until it answers.', 'reembed endpoint wait hf:acme/bge').action(
    async name => (await hf()).wait(name),
  )
  one('pause', 'Stop it; requests do not wake it.', 'reembed endpoint pause hf:acme/bge').action(async name =>
    (await hf()).pause(name),
  )
  one('resume', 'Start it again after a pause.', 'reembed endpoint resume hf:acme/bge').action(async name =>
    (await hf()).resume(name),
  )
  option
    .add(one('scale', 'Change its bounds.', 'reembed endpoint scale hf:acme/bge --max 8'), option.scale)
    .action(async (name, options) => (await hf()).scale(name, options))
  one('delete', 'Delete it on Hugging Face.', 'reembed endpoint delete hf:acme/bge').action(async name =>
    (await hf()).remove(name),
  )
  option
    .add(
      sub('price', 'What hardware costs an hour, cheapest first.', 'reembed endpoint price acme').argument(
        '<namespace>',
        'user or organisation',
      ),
      [option.json],
    )
    .action(async (namespace, options) => (await hf()).price(namespace, options))

  option
    .add(
      command(
        'embed',
        'One text by any endpoint, and the same call in curl, Python and JavaScript.',
        'reembed embed "a sentence" --endpoint http://tei:8080',
      ).argument('<text>', 'what to embed'),
      [...option.requiredEndpoint, option.json],
    )
    .action(async (text, options) => (await import('../commands/embed.ts')).embed(text, options))
}
