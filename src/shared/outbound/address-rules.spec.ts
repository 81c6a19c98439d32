import { describe, expect, it } from 'vitest';
import { forbiddenAddress } from './address-rules.js';

describe('forbiddenAddress', () => {
  it.each([
    ...['93.184.216.34', '8.8.8.8', '1.1.1.1', '172.15.255.255', '172.32.0.1', '100.63.255.255', '100.128.0.1'],
    ...['2606:2800:220:1:248:1893:25c8:1946', '2a00:1450:4001::200e', '::ffff:8.8.8.8', '64:ff9b::808:808'],
  ])('%s is public', (address) => {
    expect(forbiddenAddress(address)).toBeUndefined();
  });

  it.each([
    ['this network', '0.0.0.0', '0.1.2.3'],
    ['private', '10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1'],
    ['loopback', '127.0.0.1', '127.255.255.254', '::1'],
    ['link-local, with the metadata of most clouds', '169.254.169.254', '169.254.0.1', 'fe80::1', 'fe80::1%eth0'],
    ['metadata elsewhere', '100.100.100.200', '168.63.129.16', '192.0.0.192', 'fd00:ec2::254'],
    ['carrier-grade NAT', '100.64.0.1', '100.127.255.255'],
    ['multicast and broadcast', '224.0.0.1', '239.255.255.250', '255.255.255.255', 'ff02::1'],
    ['documentation, tests, reserved', '192.0.2.1', '198.18.0.1', '198.51.100.1', '203.0.113.1', '240.0.0.1'],
    ['nothing', '::'],
    ['unique local and old site-local', 'fc00::1', 'fd12:3456::1', 'fec0::1'],
    ['IPv4 inside IPv6, mapped', '::ffff:127.0.0.1', '::ffff:7f00:1', '::ffff:10.0.0.1', '::ffff:169.254.169.254'],
    ['IPv4 inside IPv6, compatible', '::127.0.0.1', '::a00:1'],
    ['IPv4 inside IPv6, translated', '64:ff9b::7f00:1', '64:ff9b::a9fe:a9fe', '64:ff9b:1::a00:1', '::ffff:0:7f00:1'],
    ['IPv4 inside IPv6, tunnels', '2002:7f00:1::', '2002:a00:1::1', '2001::1', '2001:0:a00:1::'],
    ['IPv6 for documentation and discarding', '2001:db8::1', '100::1', '3fff::1'],
    ['not given out', '4000::1', 'e000::1'],
    ['no address', '', 'localhost', '1.2.3.4.5', '10.0.0.1/8'],
  ])('%s: none is public', (_what, ...addresses) => {
    for (const address of addresses)
      expect([address, forbiddenAddress(address)]).toEqual([address, expect.any(String)]);
  });
});
