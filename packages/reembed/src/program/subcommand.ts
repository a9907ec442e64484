// What all commands have in common.

import type { Command } from 'commander'
import { config } from '../options.ts'

/**
 * Adds commands that take `--config`, refuse what they do not know, and show an example in their
 * help.
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
