// Reads a field of a record by its name or path: 'title', 'meta.title', '/meta/title' (a JSON
// pointer, RFC 6901). A field whose name equals the whole path takes precedence, so that names with
// dots need no escape.

export type FieldGetter = (record: object) => unknown

/**
 * Returns a getter for the field at `path`. The getter returns undefined if the record does not
 * have the field. It never reads inherited members.
 */
export function fieldGetter(path: string): FieldGetter {
  const steps = pathSegments(path)
  if (steps.length === 1 && steps[0] === path) {
    // Records are plain objects: they inherit only the members of Object.prototype.
    return path in Object.prototype
      ? record => ownMember(record, path)
      : record => record[path as keyof typeof record]
  }
  return record => {
    if (Object.hasOwn(record, path)) return ownMember(record, path)
    let value: unknown = record
    for (const step of steps) {
      if (typeof value !== 'object' || value === null) return undefined
      value = ownMember(value, step)
    }
    return value
  }
}

/** The field names of a path, outermost first. */
export function pathSegments(path: string): string[] {
  if (!path.startsWith('/')) return path.split('.')
  return path
    .slice(1)
    .split('/')
    .map(step => step.replaceAll('~1', '/').replaceAll('~0', '~'))
}

const ownMember = (record: object, name: string): unknown =>
  Object.hasOwn(record, name) ? record[name as keyof typeof record] : undefined
