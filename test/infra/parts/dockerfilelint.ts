// A typed wrapper of dockerfilelint, which is CommonJS without types.

import { createRequire } from 'node:module'

interface Finding {
  readonly title: string
  readonly line?: number
}

const lint = createRequire(import.meta.url)('dockerfilelint') as {
  run(path: string, content: string, config?: object): Promise<Finding[]> | Finding[]
}

/**
 * Lints a Dockerfile with the rules of 2020. Two rules are off: the linter treats `${IMAGE}` as an
 * image without a tag, and newer flags as errors; the rules of the test cover both.
 */
export async function lintDockerfile(content: string): Promise<string[]> {
  const known = content
    .replace(
      /^FROM (?:--platform=\S+ )?\$\{(\w+)\}/gm,
      (_, name) => `FROM ${new RegExp(`^ARG ${name}=(.+)$`, 'm').exec(content)?.[1]}`,
    )
    .replace(/^(RUN) --mount=\S+ /gm, '$1 ')
  return (await lint.run('.', known, {})).map(({ title, line }) => `${line ?? 0}: ${title}`)
}
