// Settings of all commands.

import type { Command } from 'commander'
import { config } from '../options.ts'

/**
 * Adds commands that accept `--config`, refuse unknown arguments, and show an example in --help.
 */
export const subcommandsOf =
  (parent: Command) =>
  (name: string, description: string, example: string): Command =>
    parent
      .command(name)
      .description(description)
      .exitOverride()
      .showSuggestionAfterError()
      .allowExcessArguments(false)
      .enablePositionalOptions()
      .addOption(config)
      .addHelpText('after', `\nExample:\n  ${example}`)
