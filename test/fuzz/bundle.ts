// A target and all that it reaches as one file, with counters in the modules that parse what comes
// from outside.

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build, transform } from 'esbuild'
import { instrument, type Numbers } from './instrument.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/**
 * The product's sources, and the libraries that receive bytes without validation. The other bundled
 * modules are not instrumented.
 */
const INSTRUMENTED =
  /\/packages\/\w+\/src\/.*\.ts$|\/fuzz\/planted\.ts$|\/node_modules\/(?:hyparquet|hyparquet-compressors|apache-arrow|flatbuffers|yaml)\/.*\.[cm]?js$/

/**
 * Writes the target to `outfile`: a module that exports `target`. Gives the number of its branches.
 */
export async function bundleTarget(file: string, outfile: string): Promise<number> {
  const numbers: Numbers = { branch: 1, comparison: 1 }
  await build({
    absWorkingDir: ROOT,
    entryPoints: [file],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    conditions: ['@reembed/source'],
    // The file that has it is not beside the bundle.
    define: { REEMBED_VERSION: '"fuzzed"' },
    external: [
      '*.node',
      '@reembed/local',
      '@lancedb/lancedb',
      '@zilliz/milvus2-sdk-node',
      'onnxruntime-node',
      '@duckdb/*',
    ],
    banner: {
      js: "import{createRequire as fuzzRequire}from'node:module';const require=fuzzRequire(import.meta.url);const{__hit,__left,__right}=globalThis.__fuzz;",
    },
    logLevel: 'error',
    plugins: [
      {
        name: 'counters',
        setup({ onLoad }) {
          onLoad({ filter: INSTRUMENTED }, async ({ path }) => {
            const source = await readFile(path, 'utf8')
            const plain = path.endsWith('.ts')
              ? (await transform(source, { loader: 'ts', target: 'node24', sourcefile: path })).code
              : source
            return { contents: instrument(plain, numbers), loader: 'js' }
          })
        },
      },
    ],
  })
  return numbers.branch
}
