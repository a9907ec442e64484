export { type Clock, systemClock } from '@reembed/shared'
