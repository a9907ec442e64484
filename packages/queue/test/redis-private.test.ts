import { expect, test } from 'vitest'
import { secureUrlOf } from '../src/redis.ts'

test('P-REDIS-PRIVATE: requireSecureRedis refuses a Redis on another machine without password and TLS, and names the alternatives', () => {
  for (const url of [
    'redis://redis:6379',
    'redis://10.0.0.7',
    'redis://user@redis:6379/2',
    'redis://127.0.0.1.example.com',
  ]) {
    expect(() => secureUrlOf(url)).toThrow(/rediss:\/\/host, or allow an insecure Redis/)
    expect(() => secureUrlOf({ url, insecure: true })).not.toThrow()
  }
})

test.each([
  'redis://127.0.0.1:6379',
  'redis://localhost',
  'redis://[::1]:7000',
  'redis://:secret@redis',
  'rediss://redis',
])('P-REDIS-PRIVATE: secureUrlOf accepts %s', url => expect(() => secureUrlOf(url)).not.toThrow())
