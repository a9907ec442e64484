// Settings of all commands.

import { type Command, Help, type Option } from 'commander'
import { config, timeout } from '../options.ts'

/**
 * Adds commands that accept `--config` and `--timeout`, refuse unknown arguments, and show an
 * example in --help. A command with many options shows the common ones; `--help all` shows all, in
 * groups.
 */
export const subcommandsOf =
  (parent: Command) =>
  (name: string, description: string, example: string): Command => {
    const command = parent
      .command(name)
      .description(description)
      .exitOverride()
      .showSuggestionAfterError()
      .allowExcessArguments(false)
      .enablePositionalOptions()
      .addOption(config)
      .addOption(timeout)
      .configureHelp({
        visibleOptions,
        // In the order of the visible options, not in that of their declaration.
        groupItems: (_, visible, groupOf) => new Help().groupItems(visible, visible, groupOf),
      })
      .addHelpText('after', ({ command }) => `${moreOptions(command)}\nExample:\n  ${example}`)
    const action = command.action.bind(command)
    command.action = run =>
      action(async (...given) => {
        // Loaded here, since --help needs none of it.
        const { withTimeout } = await import('../waits.ts')
        await withTimeout(command.opts(), () => run.apply(command, given))
      })
    return command
  }

/** With more options than this, only the common ones are shown. */
const SHORT = 16

/** Groups of options in --help, in this order, each with the names of its common options first. */
const GROUPS: readonly {
  readonly heading: string
  readonly common: readonly string[]
  readonly more: readonly string[]
}[] = [
  {
    heading: 'Source:',
    common: ['source', 'format', 'id', 'text'],
    more: ['template', 'carry', 'chunk', 'chunkTokens', 'chunkOverlap', 'chunkContext', 'tokenizer'],
  },
  {
    heading: 'Output:',
    common: ['output'],
    more: [
      'documentsPerShard',
      'dimensions',
      'dtype',
      'includeText',
      'arrowSchema',
      'reuse',
      'reuseFrom',
      'unsafeStore',
    ],
  },
  {
    heading: 'Model:',
    common: ['endpoint', 'model', 'prompt'],
    more: ['promptName', 'queryPrompt', 'revision', 'truncate', 'allowInsecure', 'whenDone'],
  },
  {
    heading: 'Publishing:',
    common: ['maxRejects', 'gate'],
    more: ['maxTruncated', 'gateQueries', 'gateQrels'],
  },
  {
    heading: 'Workers and cost:',
    common: ['redis'],
    more: ['insecureRedis', 'timeout', 'concurrency', 'pricePerHour', 'replicas', 'maxCost', 'maxTokens'],
  },
  { heading: 'S3:', common: [], more: ['s3Endpoint', 's3Region', 's3PathStyle', 's3Checksums'] },
]

/** Options that each command shows, whatever their number. */
const ALWAYS: ReadonlySet<string> = new Set(['config', 'json', 'help'])
const GROUPED = new Map(
  GROUPS.flatMap(({ heading, common, more }) =>
    [...common, ...more].map((name): [string, { heading: string; common: boolean }] => [
      name,
      { heading, common: common.includes(name) },
    ]),
  ),
)

const isLong = ({ options }: Command): boolean => options.length > SHORT
const isCommon = (option: Option): boolean => {
  const name = option.attributeName()
  return ALWAYS.has(name) || (GROUPED.get(name)?.common ?? true)
}

/** Whether the command line has `--help all`. */
function asksForAll(command: Command): boolean {
  const root = rootOf(command) as Command & { readonly rawArgs?: readonly string[] }
  return (root.rawArgs ?? []).some((arg, i, all) => /^(-h|--help)$/.test(arg) && all[i + 1] === 'all')
}

const rootOf = (command: Command): Command => (command.parent ? rootOf(command.parent) : command)

function visibleOptions(command: Command): Option[] {
  const options = new Help().visibleOptions(command)
  if (!isLong(command)) return options
  for (const option of options) {
    option.helpGroupHeading = GROUPED.get(option.attributeName())?.heading ?? 'Other:'
  }
  const order = GROUPS.map(({ heading }) => heading)
  const rank = ({ helpGroupHeading = '' }: Option): number =>
    (order.indexOf(helpGroupHeading) + order.length + 1) % (order.length + 1)
  return options.filter(option => asksForAll(command) || isCommon(option)).sort((a, b) => rank(a) - rank(b))
}

function moreOptions(command: Command): string {
  if (!isLong(command) || asksForAll(command)) return ''
  const hidden = command.options.filter(option => !isCommon(option)).length
  return `\n${hidden} more options: reembed ${command.name()} --help all\n`
}
