/**
 * Whether a host is link-local or a cloud's metadata service, which returns the machine's
 * credentials over plain HTTP. `hostname` as in a URL: IPv6 in brackets. An IPv4 address may be
 * mapped into IPv6 (RFC 4291), or translated by NAT64 (RFC 6052); a name may end with a dot.
 */
export const isLinkLocal = (hostname: string): boolean =>
  /^169\.254(?:\.\d+){2}$/.test(hostname) ||
  /^\[(?:fe[89ab][0-9a-f]:|(?:::|::ffff:|64:ff9b::)a9fe:|fd00:ec2:)/.test(hostname) ||
  /^(?:metadata\.google\.internal|instance-data(?:\.ec2\.internal)?)\.?$/i.test(hostname)
