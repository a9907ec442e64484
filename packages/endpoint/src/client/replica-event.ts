/** A change of a replica's state, for the log. */
export interface ReplicaEvent {
  readonly kind: 'added' | 'removed' | 'in_use' | 'ejected' | 'quarantined' | 'unreachable'
  readonly replica: string
  readonly reason?: string
}
