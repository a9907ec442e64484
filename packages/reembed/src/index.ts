// The public surface of the package `reembed`: the SDK.

export * from '@reembed/sdk'
