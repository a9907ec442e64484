// What happened to a replica.

/** Something that an operator may want to read in the log. */
export interface ReplicaEvent {
  readonly kind: 'added' | 'removed' | 'in_use' | 'ejected' | 'quarantined' | 'unreachable'
  readonly replica: string
  readonly reason?: string
}
