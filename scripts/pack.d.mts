export interface PackedPackage {
  readonly name: string
  readonly version: string
  /** Its folder below packages/. */
  readonly folder: string
  readonly file: string
}
export function packAll(into: string): PackedPackage[]
export function build(): void
