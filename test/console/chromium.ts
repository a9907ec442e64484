// The browser of the tests of the console.

import { existsSync } from 'node:fs'

export const CHROMIUM: string = process.env.REEMBED_CHROMIUM ?? '/usr/bin/chromium'
/** Why a test with a browser cannot run. */
export const LACK: string | undefined = existsSync(CHROMIUM)
  ? undefined
  : `${CHROMIUM} does not exist; set REEMBED_CHROMIUM`
