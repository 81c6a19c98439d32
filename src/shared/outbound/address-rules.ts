import ipaddr from 'ipaddr.js';

/** Public by its number, but answered by the host's own cloud: Azure's WireServer. The other metadata addresses are in special ranges. */
const METADATA = new Set(['168.63.129.16']);
/** All of the IPv6 internet; the rest is special, local or not given out. */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3');
const NAT64 = ipaddr.IPv6.parseCIDR('64:ff9b::/96');

/**
 * Why no request made on a stranger's word may go to this address: it is not on the public internet (private, loopback, link-local and with it
 * cloud metadata, carrier-grade NAT, multicast, reserved, tunnels that hide an IPv4 address), or it is no address.
 *
 * @returns undefined when the address is public.
 */
export function forbiddenAddress(address: string): string | undefined {
  if (!ipaddr.isValid(address)) return 'no IP address';
  const parsed = ipaddr.parse(address);
  return parsed.kind() === 'ipv4' ? forbiddenIpv4(parsed as ipaddr.IPv4) : forbiddenIpv6(parsed as ipaddr.IPv6);
}

function forbiddenIpv4(address: ipaddr.IPv4): string | undefined {
  if (METADATA.has(address.toString())) return 'a metadata address';
  const range = address.range();
  return range === 'unicast' ? undefined : `a ${range} address`;
}

function forbiddenIpv6(address: ipaddr.IPv6): string | undefined {
  if (address.isIPv4MappedAddress()) return forbiddenIpv4(address.toIPv4Address());
  // A network without IPv4 reaches all of it through this prefix (RFC 6052), so what is inside counts.
  if (address.match(NAT64)) return forbiddenIpv4(new ipaddr.IPv4(address.toByteArray().slice(12)));
  const range = address.range();
  if (range !== 'unicast') return `a ${range} address`;
  return address.match(GLOBAL_UNICAST) ? undefined : 'a reserved address';
}
