// How the values of a carried column fit the type that it is stored as.

import type { ColumnFit } from '@reembed/planner'

/** How the sampled values of a carried column fit its type. */
export function columnFitText({
  column: { name, type, strict },
  values,
  unfit,
  example,
  notFinite,
}: ColumnFit): string {
  const parts = [
    ...(unfit > 0
      ? [
          `${unfit} of ${values} sampled values of column ${JSON.stringify(name)} are not exact as ${type}, such as ${example}; ` +
            (strict
              ? 'their documents would be rejected'
              : "they become null. Carry it as a string, or add '!' to reject their documents"),
        ]
      : []),
    ...(notFinite > 0
      ? [
          `${notFinite} of ${values} sampled values of column ${JSON.stringify(name)} are NaN or infinite; they are stored as such`,
        ]
      : []),
  ]
  return parts.join('. ')
}
