// Bundles the command into one ESM file that runs under Node 24 without node_modules. It excludes
// @reembed/local (the local Redis and model server, with onnxruntime); without that package the
// command requires --endpoint and --redis.
//
//   node infra/docker/bundle.mjs <folder>    writes reembed.mjs and THIRD-PARTY.txt

import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const folder = process.argv[2]
if (folder === undefined) throw new Error('usage: node infra/docker/bundle.mjs <folder>')

const root = fileURLToPath(new URL('../..', import.meta.url))
const { version } = JSON.parse(await readFile(join(root, 'packages/reembed/package.json'), 'utf8'))
const assets = join(root, 'packages/console/assets')
const consoleAssets = Object.fromEntries(
  await Promise.all(
    (await readdir(assets)).sort().map(async name => [name, await readFile(join(assets, name), 'utf8')]),
  ),
)
const { outputFiles } = await build({
  absWorkingDir: root,
  entryPoints: ['packages/reembed/src/main.ts'],
  outfile: join(folder, 'reembed.mjs'),
  write: false,
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  conditions: ['@reembed/source'],
  // Native and optional packages. The command has a fallback for each.
  external: ['@reembed/local', '@lancedb/lancedb', '@zilliz/milvus2-sdk-node', '*.node'],
  define: {
    REEMBED_VERSION: JSON.stringify(version),
    REEMBED_CONSOLE_ASSETS: JSON.stringify(consoleAssets),
  },
  minifySyntax: true,
  minifyWhitespace: true,
  // Some libraries are CommonJS and load Node's built-in modules by require().
  banner: {
    js: "import{createRequire as reembedRequire}from'node:module';const require=reembedRequire(import.meta.url);",
  },
  legalComments: 'external',
  logLevel: 'warning',
})
for (const { path, contents } of outputFiles) {
  await writeFile(path.endsWith('.LEGAL.txt') ? join(folder, 'THIRD-PARTY.txt') : path, contents)
}
