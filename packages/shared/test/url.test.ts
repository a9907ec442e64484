// URLs and paths of options.

import { join, resolve } from 'node:path'
import { expect, test } from 'vitest'
import { absoluteUrl, maskPasswords } from '../src/index.ts'

test.each([
  's3://b/p',
  'file:///x',
  'qdrant+https://h:6333?collection=docs',
  'hf://datasets/a/b',
  'a.b-c://x',
])('the URL %s is not changed', url => expect(absoluteUrl(url, '/folder')).toBe(url))

test('a path becomes absolute, relative to the folder or the working folder', () => {
  for (const path of ['docs', 'a:b', '+://x', 'a/b://c']) {
    expect(absoluteUrl(path)).toBe(resolve(path))
    expect(absoluteUrl(path, '/folder')).toBe(join('/folder', path))
  }
})

test.each([
  ['redis://u:secret@h:1/0', 'redis://u:***@h:1/0'],
  ['rediss://:secret@h', 'rediss://:***@h'],
  ['qdrant+https://u:secret@h:6333?collection=c', 'qdrant+https://u:***@h:6333?collection=c'],
  ['postgres://u:sec@r/e?t@h/d?table=t', 'postgres://u:***@h/d?table=t'],
  ['postgres://u@h/d?password=secret&table=t', 'postgres://u@h/d?password=***&table=t'],
  ['postgres://h/d?table=t&sslpassword=secret', 'postgres://h/d?table=t&sslpassword=***'],
  ['http://h:8080/path', 'http://h:8080/path'],
  ['s3://arn:aws:s3/a@b', 's3://arn:aws:s3/a@b'],
  ['a:b@c', 'a:b@c'],
])('the password of %s is masked', (url, masked) => expect(maskPasswords(url, '***')).toBe(masked))
