// Addresses of the pages. A run id names a run within an output; the console may show several.

/** `/runs/<id>?output=…&shard=17`; the output is left out where the console shows only one. */
export interface Links {
  run(output: string, run: string, more?: Readonly<Record<string, string>>): string
  versions(output: string): string
  compare(output: string, a?: string, b?: string): string
}

export function createLinks(outputs: number): Links {
  const at = (path: string, output: string, more: Readonly<Record<string, string>> = {}): string => {
    const query = new URLSearchParams({ ...(outputs > 1 && { output }), ...more }).toString()
    return query === '' ? path : `${path}?${query}`
  }
  return {
    run: (output, run, more) => at(`/runs/${run}`, output, more),
    versions: output => at('/versions', output),
    compare: (output, a, b) => at('/compare', output, { ...(a && { a }), ...(b && { b }) }),
  }
}
