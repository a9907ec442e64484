// The owner of the simulated corpus. An edition of an object leaves most documents as they are,
// rewrites some, drops some and adds some; now and then a line has an empty text or is no JSON.

import { POISON } from './fleet.ts'
import type { Contents } from './invariants.ts'
import type { Objects } from './store.ts'
import type { World } from './world.ts'

interface Line {
  readonly id: string
  readonly text: string
}

/** Writes the next edition of an object, and notes what it holds. */
export function createAuthor(
  source: Objects,
  contents: Contents,
  world: World,
  documents: number,
): (key: string) => void {
  const held = new Map<string, Line[]>()
  let edition = 0

  function lineOf(key: string, i: number): Line {
    const kind = world.chance(0.08) ? POISON : 'text'
    return { id: `${key[0]}${edition}-${i}`, text: `${kind} ${i} of ${key}, edition ${edition}` }
  }

  function edited(key: string, lines: readonly Line[]): Line[] {
    const kept = lines
      .filter(() => !world.chance(0.15))
      .map(line => (world.chance(0.2) ? { ...line, text: `${line.text}, then ${edition}` } : line))
    const added = Array.from({ length: world.below(3) }, (_, i) => lineOf(key, i))
    return world.chance(0.3) ? [...added, ...kept] : [...kept, ...added]
  }

  return key => {
    edition += 1
    const before = held.get(key)
    const fresh = (): Line[] =>
      Array.from({ length: Math.max(1, documents - world.below(3)) }, (_, i) => lineOf(key, i))
    const lines = before ? edited(key, before) : fresh()
    if (lines.length === 0) lines.push(...fresh())
    held.set(key, lines)
    const written = lines.map(line => `${JSON.stringify(line)}\n`)
    const badLines = new Set<number>()
    if (lines.length > 1 && world.chance(0.5)) {
      const at = 1 + world.below(lines.length - 1)
      badLines.add(Buffer.byteLength(written.slice(0, at).join('')))
      written.splice(at, 0, world.chance(0.5) ? `{"id":"${key[0]}-bad","text":" "}\n` : '{"id":\n')
    }
    source.replace(key, Buffer.from(written.join('')))
    const texts = new Map(lines.map(({ id, text }) => [id, text]))
    contents.set(source.map.get(key)?.etag ?? '', { documents: texts, badLines })
  }
}
