import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** Networks and hosts that outgoing requests may reach although they are not public. */
export interface AllowList {
  networks: readonly [Address, number][];
  /** In lower case, as a URL has them. */
  hosts: ReadonlySet<string>;
}

export const NOTHING_ALLOWED: AllowList = { networks: [], hosts: new Set() };

const HOST = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;

/**
 * Reads `10.1.0.0/16,192.168.1.5,::1,hooks.internal`: networks, addresses and exact host names, separated by commas.
 *
 * @returns the entry that is none of these, if there is one.
 */
export function parseAllowList(text: string): AllowList | { badEntry: string } {
  const networks: [Address, number][] = [];
  const hosts = new Set<string>();
  for (const entry of text.split(',').map((part) => part.trim().toLowerCase())) {
    if (entry === '') continue;
    if (isIP(entry) !== 0) {
      const address = ipaddr.parse(entry);
      networks.push([address, address.kind() === 'ipv4' ? 32 : 128]);
    } else if (isNetwork(entry)) {
      networks.push(ipaddr.parseCIDR(entry));
      // What looks like an address and is none would otherwise be a host that nothing ever matches.
    } else if (HOST.test(entry) && !/^[\d.]+$/.test(entry)) {
      hosts.add(entry);
    } else {
      return { badEntry: entry };
    }
  }
  return { networks, hosts };
}

function isNetwork(entry: string): boolean {
  const [address = '', ...rest] = entry.split('/');
  return rest.length === 1 && isIP(address) !== 0 && ipaddr.isValidCIDR(entry);
}

export function allowsHost(list: AllowList, hostname: string): boolean {
  return list.hosts.has(hostname.toLowerCase());
}

/** @param address an IP address; an IPv4 one inside an IPv6 one counts as what it is. */
export function allowsAddress(list: AllowList, address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const plain = ipaddr.process(address);
  return list.networks.some(([network, bits]) => network.kind() === plain.kind() && plain.match(network, bits));
}
