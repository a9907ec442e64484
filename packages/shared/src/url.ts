// Places as options and files name them: a URL, or a local path.

import { resolve } from 'node:path'

/** Whether a text begins with a scheme (RFC 3986) and `//`; else it is a path. */
export const isUrl = (text: string): boolean => /^[a-z][a-z0-9+.-]*:\/\//i.test(text)

/** Makes a local path absolute, so that every process opens the same folder. */
export const absoluteUrl = (text: string, folder = '.'): string =>
  isUrl(text) ? text : resolve(folder, text)

/**
 * Replaces the passwords in a URL: behind the user, and in the parameters of PostgreSQL. A password
 * that is not encoded may have any character, so it ends at the last '@'.
 */
export function maskPasswords(text: string, mask: string): string {
  // Keys of objects may have ':' and '@'; these URLs have no user.
  if (!isUrl(text) || /^(s3|hf|file):/i.test(text)) return text
  return text
    .replace(/^([^:]*:\/\/[^/@:]*):.*@/s, (_, user) => `${user}:${mask}@`)
    .replace(/([?&](?:ssl)?password=)[^&#]*/gi, (_, name) => `${name}${mask}`)
}
