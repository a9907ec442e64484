// dockerfilelint is CommonJS and has no types: this is all that we use of it.

import { createRequire } from 'node:module'

interface Finding {
  readonly title: string
  readonly line?: number
}

const lint = createRequire(import.meta.url)('dockerfilelint') as {
  run(path: string, content: string, config?: object): Promise<Finding[]> | Finding[]
}

/**
 * What a linter that knows Dockerfiles up to 2020 has to say. Two of its rules are off: it takes
 * `${IMAGE}` for an image without a tag, and flags newer than itself for mistakes; the test's own
 * rules cover both.
 */
export async function lintDockerfile(content: string): Promise<string[]> {
  const known = content
    .replace(
      /^FROM \$\{(\w+)\}/gm,
      (_, name) => `FROM ${new RegExp(`^ARG ${name}=(.+)$`, 'm').exec(content)?.[1]}`,
    )
    .replace(/^(RUN) --mount=\S+ /gm, '$1 ')
  return (await lint.run('.', known, {})).map(({ title, line }) => `${line ?? 0}: ${title}`)
}
