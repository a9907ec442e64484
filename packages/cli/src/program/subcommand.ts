// What all commands have in common.

import type { Command } from 'commander'
import { config } from '../options.ts'

/** Adds a command that takes `--config`, refuses what it does not know, and shows an example in its help. */
export const subcommand = (parent: Command, name: string, description: string, example: string): Command =>
  parent
    .command(name)
    .description(description)
    .exitOverride()
    .showSuggestionAfterError()
    .allowExcessArguments(false)
    .enablePositionalOptions()
    .addOption(config)
    .addHelpText('after', `\nExample:\n  ${example}`)
