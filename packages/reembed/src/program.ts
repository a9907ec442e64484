// The command line: the settings that all commands share, and the declaration of each group of
// commands.

import { existsSync } from 'node:fs'
import { EXIT, ReembedError } from '@reembed/shared'
import { Command, Option } from 'commander'
import { CONFIG_KEYS, DEFAULT_FILE, optionsOf } from './config/config-keys.ts'
import * as option from './options.ts'
import { addEmbeddingCommands } from './program/embedding.ts'
import { addEndpointCommands } from './program/endpoints.ts'
import { addRunCommands } from './program/runs.ts'
import { addScheduleCommands } from './program/schedules.ts'
import { subcommandsOf } from './program/subcommand.ts'
import { addVectorCommands } from './program/vectors.ts'
import { VERSION } from './version.ts'

export function createProgram(): Command {
  const program: Command = new Command('reembed')
    .description('Embed a corpus into a verified set of Parquet shards.')
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

  addEmbeddingCommands(program)
  addRunCommands(program)
  addVectorCommands(program)
  addEndpointCommands(program)
  addScheduleCommands(program)

  const config = option.add(
    subcommandsOf(program)(
      'config',
      'Show every value and its origin; secrets are masked.',
      'reembed config',
    ),
    [
      option.json,
      new Option('--schema', 'print the JSON Schema of reembed.yaml, for editors'),
      new Option(
        '--check',
        'validate all values, schedules and gates instead of showing them; exit 2 for a fault',
      ),
    ],
  )
  for (const [name, one] of optionsOf(program))
    if (CONFIG_KEYS[name] !== undefined && !config.options.some(known => known.long === one.long))
      config.addOption(option.optional(one))
  config.action(async (options, self) => (await import('./commands/config.ts')).config(options, self))

  return program
}

/** Applies the values of reembed.yaml, then refuses a command that lacks a required option. */
async function prepare(command: Command, program: Command): Promise<void> {
  // Loaded only where there is a file: most calls have none, and start sooner without zod.
  const named = command.getOptionValue('config') as string | undefined
  if (command.name() !== 'init' && (named !== undefined || existsSync(DEFAULT_FILE)))
    await (await import('./config/apply.ts')).applyConfig(command, program, process.env)
  requireOptions(command)
}

/**
 * Commander reports a missing option before a misspelt one, which is often its cause, so missing
 * options are reported here, after parsing.
 */
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
    // `reembed run ./docs`
    .replace(
      /too many arguments for '(.*?)'. Expected 0 arguments but got (?:\d+): (.*?)\.?$/,
      (_, command, given) =>
        `'${command}' takes no arguments, got ${given}: give each value by its option, like ${TAKES_SOURCE.test(command) ? "--source ./docs, and quote a glob, like --source './docs/*.md'" : '--output ./vectors'}`,
    )
    // `reembed search how do I`
    .replace(
      /too many arguments for '(.*?)'. Expected (\d+) arguments? but got \d+: (.*?)\.?$/,
      (_, command, expected, given) =>
        `'${command}' takes ${expected === '1' ? 'one argument' : `${expected} arguments`}, got ${given}: quote a text of several words, like "${String(given).replaceAll(', ', ' ')}"`,
    )
    // `reembed run -source ./docs`
    .replace(/unknown option '-(\w[\w-]+)'$/, "unknown option '-$1' (did you mean --$1?)")
    .replace(
      /(unknown (option|command)|missing required argument) '[^']*'$/,
      '$&: --help shows what is accepted',
    )

const TAKES_SOURCE = /^(run|plan|preview|enqueue|doctor|init)$/
