/**
 * Whether a host is link-local or a cloud's metadata service, which returns the machine's
 * credentials over plain HTTP. `hostname` as in a URL: IPv6 in brackets.
 */
export const isLinkLocal = (hostname: string): boolean =>
  /^169\.254(?:\.\d+){2}$/.test(hostname) ||
  /^\[(?:fe[89ab][0-9a-f]:|::ffff:a9fe:|fd00:ec2:)/.test(hostname) ||
  hostname === 'metadata.google.internal'
