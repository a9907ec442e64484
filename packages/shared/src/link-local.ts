/**
 * Whether a host is link-local or a cloud's metadata service, which returns the machine's
 * credentials over plain HTTP: 169.254.169.254 of most clouds, 100.100.100.200 of Alibaba Cloud,
 * 168.63.129.16 of Azure, fd00:ec2::254 of AWS, and the names of AWS and Google. `hostname` as in a
 * URL: IPv6 in brackets. An IPv4 address may be mapped into IPv6 (RFC 4291), translated by NAT64
 * (RFC 6052) or routed by 6to4 (RFC 3056); a name may end with a dot. Google's short name
 * 'metadata' is not among them: it may name a service of a cluster or of a Compose file.
 */
export const isLinkLocal = (hostname: string): boolean =>
  /^(?:169\.254(?:\.\d+){2}|100\.100\.100\.200|168\.63\.129\.16)$/.test(hostname) ||
  /^\[(?:fe[89ab][0-9a-f]:|fd00:ec2:|2002:(?:a9fe|6464:64c8|a83f:8110):)/.test(hostname) ||
  /^\[(?:::|::ffff:|64:ff9b::)(?:a9fe:[0-9a-f]{1,4}|6464:64c8|a83f:8110)\]$/.test(hostname) ||
  /^(?:metadata\.google\.internal|metadata\.goog|instance-data(?:\.ec2\.internal)?)\.?$/i.test(hostname)
