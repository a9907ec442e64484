// Commands for the dependencies of a run: doctor, endpoint, embed. The actions are in ../commands/,
// loaded when called, so that `--help` starts fast.

import { type Command, Option } from 'commander'
import * as option from '../options.ts'
import { subcommandsOf } from './subcommand.ts'

export function addEndpointCommands(program: Command): void {
  const command = subcommandsOf(program)

  option
    .add(
      command(
        'doctor',
        'Check the source, the output, Redis, the endpoint and an index, and show how to fix each fault; takes the options of run.',
        'reembed doctor --source ./docs --output s3://vectors/wiki --endpoint http://tei:8080 --redis rediss://redis:6379',
      ),
      [
        // Those of `run`: the same command line is checked.
        option.optionalSource,
        ...option.corpus.filter(one => one.attributeName() !== 'source'),
        option.optionalOutput,
        ...option.output.filter(one => one.attributeName() !== 'output'),
        ...option.endpoint,
        ...option.redis,
        ...option.worker,
        ...option.s3,
        ...option.spending,
        ...option.gates,
        option.whenDone,
        option.examinedStore,
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
        'Measure the throughput of a live endpoint and find its best setting.',
        'reembed endpoint bench --endpoint http://tei:8080 --tokens 512 --price-per-hour 1.00',
      ),
      [
        ...option.requiredEndpoint,
        new Option('--tokens <n,...>', 'embed texts of n tokens')
          .default([128], '128')
          .argParser(option.positives),
        new Option(
          '--texts <n,...>',
          'send n texts per request (default: 1, 8 and 32, within the limits)',
        ).argParser(option.positives),
        new Option(
          '--at-once <n,...>',
          'send n concurrent requests (default: 1, 4, 16 and 64, within the limits)',
        ).argParser(option.positives),
        new Option('--seconds <n>', 'measure each setting for n seconds').default(5).argParser(option.amount),
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
        'Create an endpoint on Hugging Face; it scales to zero when idle.',
        'reembed endpoint deploy BAAI/bge-base-en-v1.5 --as hf:acme/bge --instance nvidia-a10g-x1 --wait',
      ).argument('<model>', 'id on the Hub'),
      option.deploy,
    )
    .action(async (model, options) => (await hf()).deploy(model, options))
  option
    .add(one('status', 'Show state, replicas, model and revision.', 'reembed endpoint status hf:acme/bge'), [
      option.json,
    ])
    .action(async (name, options) => (await hf()).status(name, options))
  one('wait', 'Wake the endpoint and wait until it answers.', 'reembed endpoint wait hf:acme/bge').action(
    async name => (await hf()).wait(name),
  )
  one('pause', 'Pause the endpoint; requests do not wake it.', 'reembed endpoint pause hf:acme/bge').action(
    async name => (await hf()).pause(name),
  )
  one('resume', 'Start the endpoint after a pause.', 'reembed endpoint resume hf:acme/bge').action(
    async name => (await hf()).resume(name),
  )
  option
    .add(
      one(
        'scale',
        'Change the minimum and maximum of replicas.',
        'reembed endpoint scale hf:acme/bge --max 8',
      ),
      option.scale,
    )
    .action(async (name, options) => (await hf()).scale(name, options))
  one('delete', 'Delete the endpoint on Hugging Face.', 'reembed endpoint delete hf:acme/bge').action(
    async name => (await hf()).remove(name),
  )
  option
    .add(
      sub(
        'price',
        'List hardware by its price per hour, cheapest first.',
        'reembed endpoint price acme',
      ).argument('<namespace>', 'user or organisation'),
      [option.json],
    )
    .action(async (namespace, options) => (await hf()).price(namespace, options))

  option
    .add(
      command(
        'embed',
        'Embed one text, and show the same call in curl, Python and JavaScript.',
        'reembed embed "a sentence" --endpoint http://tei:8080',
      ).argument('<text>', 'text to embed'),
      [...option.requiredEndpoint, option.json],
    )
    .action(async (text, options) => (await import('../commands/embed.ts')).embed(text, options))
}
