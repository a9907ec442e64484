// All commands and their options. The actions live in commands/, loaded when called, so that `--help` is quick.

import { existsSync } from 'node:fs'
import { EXIT, ReembedError } from '@reembed/shared'
import { Command, Option } from 'commander'
import { DEFAULT_FILE, optionsOf, PLACES } from './config/places.ts'
import * as option from './options.ts'
import { VERSION } from './version.ts'

export function createProgram(): Command {
  const program: Command = new Command('reembed')
    .description('Turns a corpus into a verified set of Parquet embedding shards.')
    .version(VERSION)
    .exitOverride()
    // `schedule ls --config …`: the file is that of `ls`, not of `schedule`.
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .configureOutput({ outputError: (text, write) => write(`${oneLine(text)}\n`) })
    .hook('preAction', (_, action) => prepare(action, program))
    .addHelpText(
      'after',
      `
Examples:
  reembed run --source ./docs --output ./vectors
  reembed run --source s3://corpora/wiki/ --output s3://vectors/wiki --endpoint http://tei:8080 --redis rediss://redis:6379
  reembed search "how do I get my money back" --output ./vectors

Exit codes: ${Object.entries(EXIT)
        .map(([name, code]) => `${code} ${name}`)
        .join(' · ')}`,
    )

  const command = (name: string, description: string, example: string, parent = program): Command =>
    parent
      .command(name)
      .description(description)
      .exitOverride()
      .showSuggestionAfterError()
      .allowExcessArguments(false)
      .enablePositionalOptions()
      .addOption(option.config)
      .addHelpText('after', `\nExample:\n  ${example}`)

  option
    .add(
      command(
        'run',
        'Plan, enqueue and follow a run to its end; starts what is not given.',
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
    .action(async options => (await import('./commands/run.ts')).run(options))

  option
    .add(command('plan', 'Say what a run would do; writes nothing.', 'reembed plan --source ./docs'), [
      ...option.corpus,
      option.optionalOutput,
      ...option.endpoint,
      ...option.s3,
      new Option('--explain', 'with --output: what is taken over from there, and why the rest is not'),
      ...option.spending,
      option.json,
    ])
    .action(async options => (await import('./commands/plan.ts')).plan(options))

  option
    .add(
      command(
        'preview',
        'Embed a sample with the new model and compare it with the current version; writes nothing.',
        'reembed preview --source ./docs --output ./vectors --endpoint http://tei:8080 --sample 1%',
      ),
      [
        ...option.corpus,
        ...option.output,
        ...option.endpoint,
        ...option.s3,
        ...option.spending,
        ...option.gates,
        new Option('--sample <size>', "of the documents, '1%' (500 at least) or '2000'; 20,000 at most")
          .default('1%')
          .argParser(option.sampleSize),
        new Option('-k, --top <n>', 'how many nearest documents').default(10).argParser(option.positive),
        option.json,
      ],
    )
    .action(async options => (await import('./commands/preview.ts')).preview(options))

  option
    .add(
      command(
        'enqueue',
        'Plan a run and put its jobs on the queue; workers do the rest.',
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
        option.json,
      ],
    )
    .action(async options => (await import('./commands/enqueue.ts')).enqueue(options))

  option
    .add(
      command(
        'worker',
        'Take jobs and make their shards until stopped; SIGTERM drains.',
        'reembed worker --output s3://vectors/ --endpoint http://tei:8080 --redis rediss://redis:6379',
      ),
      [
        ...option.outputs,
        ...option.endpoint,
        ...option.redis,
        ...option.worker,
        ...option.s3,
        option.drain,
        ...option.metrics,
      ],
    )
    .action(async options => (await import('./commands/worker.ts')).worker(options))

  option
    .add(
      command(
        'exporter',
        'Serve the state of queue, workers and runs as metrics; needs no worker.',
        'reembed exporter --output s3://vectors/ --redis rediss://redis:6379 --metrics 9465',
      ),
      [...option.optionalOutputs, ...option.redis, ...option.s3, ...option.metrics],
    )
    .action(async options => (await import('./commands/exporter.ts')).exporter(options))

  option
    .add(
      command(
        'status',
        'How far a run is (the newest one, if none is named).',
        'reembed status --output ./vectors',
      ).argument('[run]', 'run id, or its first letters'),
      [...option.output, ...option.redis, ...option.s3, option.json],
    )
    .action(async (run, options) => (await import('./commands/status.ts')).status(run, options))

  option
    .add(command('ls', 'The runs of an output, newest first.', 'reembed ls --output ./vectors'), [
      ...option.output,
      ...option.s3,
      option.json,
    ])
    .action(async options => (await import('./commands/ls.ts')).ls(options))

  option
    .add(
      command(
        'verify',
        'Recompute everything a run promises from its shards alone.',
        'reembed verify --output ./vectors',
      ).argument('[run]', 'run id, or its first letters; the current version if none'),
      [...option.output, ...option.s3, option.json],
    )
    .action(async (run, options) => (await import('./commands/verify.ts')).verify(run, options))

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
    .action(async (run, options) => (await import('./commands/publish.ts')).publish(run, options))

  option
    .add(
      command(
        'rollback',
        'Go back to the run that was current before, or to a named one.',
        'reembed rollback --output ./vectors',
      ).argument('[run]', 'run id, or its first letters'),
      [...option.output, ...option.s3, option.json],
    )
    .action(async (run, options) => (await import('./commands/publish.ts')).rollback(run, options))

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
    .action(async (a, b, options) => (await import('./commands/diff.ts')).diff(a, b, options))

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
    .action(async (run, options) => (await import('./commands/retry.ts')).retry(run, options))

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
      .action(async (run, options) => (await import('./commands/control.ts'))[name](run, options))
  }

  option
    .add(
      command(
        'gc',
        'Say which runs nobody needs any more, and with --delete remove them. Nothing else ever deletes.',
        'reembed gc --keep 3 --output ./vectors',
      ),
      [
        ...option.output,
        ...option.s3,
        new Option('--keep <n>', 'published runs that stay, the current one included')
          .default(3)
          .argParser(option.positive),
        new Option('--delete', 'do it'),
        option.json,
      ],
    )
    .action(async options => (await import('./commands/gc.ts')).gc(options))

  option
    .add(
      command(
        'current',
        'The published version that readers shall use.',
        'reembed current --output ./vectors',
      ),
      [...option.output, ...option.s3, option.json],
    )
    .action(async options => (await import('./commands/current.ts')).current(options))

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
    .action(async (text, options) => (await import('./commands/search.ts')).search(text, options))

  option
    .add(
      command(
        'export',
        'Write a finished run as the files that a vector store loads; embeds nothing.',
        'reembed export --layout pgvector --output ./vectors --to ./load',
      ).argument('[run]', 'run id, or its first letters; the current version if none'),
      [...option.output, ...option.exported, ...option.s3, option.json],
    )
    .action(async (run, options) => (await import('./commands/export.ts')).exportCommand(run, options))

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
    .action(async (run, options) => (await import('./commands/recall.ts')).recall(run, options))

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
    .action(async options => (await import('./commands/doctor.ts')).doctor(options))

  const endpoints = program
    .command('endpoint')
    .description('Measure and manage endpoints.')
    .exitOverride()
    .showSuggestionAfterError()
  option
    .add(
      command(
        'bench',
        'How much a live endpoint does, and with which setting it does most.',
        'reembed endpoint bench --endpoint http://tei:8080 --tokens 512 --price-per-hour 1.00',
        endpoints,
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
    .action(async options => (await import('./commands/endpoint-bench.ts')).endpointBench(options))

  const one = (name: string, description: string, example: string): Command =>
    command(name, description, example, endpoints).argument('<endpoint>', 'hf:namespace/name')
  const hf = async () => import('./commands/endpoint.ts')
  option
    .add(
      command(
        'deploy',
        'Make an endpoint on Hugging Face; it sleeps when it has nothing to do.',
        'reembed endpoint deploy BAAI/bge-base-en-v1.5 --as hf:acme/bge --instance nvidia-a10g-x1 --wait',
        endpoints,
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
      command(
        'price',
        'What hardware costs an hour, cheapest first.',
        'reembed endpoint price acme',
        endpoints,
      ).argument('<namespace>', 'user or organisation'),
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
    .action(async (text, options) => (await import('./commands/embed.ts')).embed(text, options))

  option
    .add(
      command(
        'init',
        'Look at a corpus and write a reembed.yaml for it.',
        'reembed init --source s3://corpora/wiki/ --output s3://vectors/wiki',
      ),
      [...option.corpus, option.optionalOutput, ...option.endpoint, ...option.redis, ...option.s3],
    )
    .action(async options => (await import('./commands/init.ts')).init(options))

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
    .action(async (options, self) => (await import('./commands/producer.ts')).producer(options, self))

  // Without options of its own: commander would take a `--config` behind the subcommand for this one's.
  const schedule = program
    .command('schedule')
    .description('When to run by itself: the schedules of reembed.yaml.')
    .exitOverride()
    .showSuggestionAfterError()
  const sub = (name: string, description: string, example: string): Command =>
    command(name, description, example, schedule)
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
    .action(async (name, options, self) => (await import('./commands/schedule.ts')).add(name, options, self))
  option
    .add(sub('ls', 'The schedules, their next ticks and what became of the last.', 'reembed schedule ls'), [
      option.optionalOutput,
      ...option.s3,
      option.json,
    ])
    .action(async (options, self) => (await import('./commands/schedule.ts')).ls(options, self))
  sub('rm', 'Take a schedule out of the file.', 'reembed schedule rm nightly')
    .argument('<name>')
    .action(async (name, _, self) => (await import('./commands/schedule.ts')).rm(name, self))
  option
    .add(
      sub(
        'tick',
        'Look once, for cron or a Kubernetes CronJob; plans what is due and nobody took.',
        'reembed schedule tick',
      ),
      [...fleet, option.json],
    )
    .action(async (options, self) => (await import('./commands/schedule.ts')).tick(options, self))

  const config = option.add(
    command('config', 'Every value, and what it comes from; secrets are masked.', 'reembed config'),
    [option.json, new Option('--schema', 'print the JSON Schema of reembed.yaml, for editors')],
  )
  for (const [name, one] of optionsOf(program))
    if (PLACES[name] !== undefined) config.addOption(option.optional(one))
  config.action(async (options, self) => (await import('./commands/config.ts')).config(options, self))

  return program
}

/** Fills in what reembed.yaml says, then asks for what is still missing. */
async function prepare(command: Command, program: Command): Promise<void> {
  // Loaded only where there is a file: most calls have none, and start sooner without zod.
  const named = command.getOptionValue('config') as string | undefined
  if (command.name() !== 'init' && (named !== undefined || existsSync(DEFAULT_FILE)))
    await (await import('./config/apply.ts')).applyConfig(command, program, process.env)
  requireOptions(command)
}

/** Commander complains of a missing option before it looks for a misspelt one, so the missing ones are looked for here. */
function requireOptions(command: Command): void {
  const missing = command.options.find(
    one => option.isRequired(one) && command.getOptionValue(one.attributeName()) === undefined,
  )
  if (missing === undefined) return
  const variable = missing.envVar ? ` (or ${missing.envVar})` : ''
  throw new ReembedError('USAGE', `missing ${missing.long}${variable}: ${missing.description}`)
}

/** Commander's messages on one line: "unknown option '--sorce' (did you mean --source?)". */
const oneLine = (text: string): string =>
  text
    .trim()
    .replace(/^error: /, 'reembed: ')
    .replace(/\n\(Did you mean/, ' (did you mean')
