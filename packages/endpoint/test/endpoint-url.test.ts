import { expect, test } from 'vitest'
import { parseAddress } from '../src/client/url.ts'

test.each([
  'http://169.254.169.254/latest',
  'http://2852039166/',
  'http://0xa9fea9fe/',
  'http://[fe80::1]:8080',
  'http://[::ffff:169.254.169.254]/',
  'http://[fd00:ec2::254]/',
  'http://metadata.google.internal/',
  'http://METADATA.google.internal./',
  'http://instance-data/latest',
  'http://[64:ff9b::169.254.169.254]/',
  'http://[::169.254.169.254]/',
  'http://[2002:a9fe:a9fe::]/',
  'http://100.100.100.200/latest/meta-data',
  'http://[::ffff:100.100.100.200]/',
  'http://168.63.129.16/machine',
  'http://[2002:6464:64c8::]/',
  'http://[2002:a83f:8110::1]/',
  'http://metadata.goog./',
  'http://0251.0376.0251.0376/',
  'http://169.254.43518/',
  'http://\u{ff11}69.254.169.254/',
])('P-NO-METADATA: %s is refused, however it is written', url => {
  expect(() => parseAddress(url, undefined, false)).toThrow(/is a link-local address/)
})

test.each(['http://10.0.0.5:8080', 'http://tei:8080', 'http://metadata:8080', 'http://[::1]:8080'])(
  'P-NO-METADATA: %s is taken',
  url => {
    expect(parseAddress(url, undefined, false).url).toBe(url)
  },
)
