// The static files of the pages: style sheet, script and icon.

import { readFileSync } from 'node:fs'

export type AssetName = 'console.css' | 'console.js' | 'icon.svg'

/** Defined by the bundle of the container image, which has no files beside it. */
declare const REEMBED_CONSOLE_ASSETS: Readonly<Record<AssetName, string>> | undefined

/** The text of a file in `assets`, one folder above this file, in `src` as in `dist`. */
export const asset = (name: AssetName): string =>
  typeof REEMBED_CONSOLE_ASSETS === 'undefined'
    ? readFileSync(new URL(`../assets/${name}`, import.meta.url), 'utf8')
    : REEMBED_CONSOLE_ASSETS[name]
