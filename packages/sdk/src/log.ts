import type { Logger } from '@reembed/telemetry'

/** A logger that drops everything: the SDK is silent unless the program gives it a logger. */
export const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} }
