import { describe, expect, it } from 'vitest';
import { DomainError } from '../errors.js';
import { NOTHING_ALLOWED, parseAllowList, type AllowList } from './allow-list.js';
import { OutboundPolicy } from './outbound-policy.js';

function listOf(text: string): AllowList {
  const list = parseAllowList(text);
  if ('badEntry' in list) throw new Error(list.badEntry);
  return list;
}

const strict = new OutboundPolicy(NOTHING_ALLOWED);

describe('parseAllowList', () => {
  it('takes networks, addresses and host names', () => {
    const list = listOf(' 10.1.0.0/16, 192.168.1.5,::1 ,fd00::/8,Hooks.Internal,');
    expect(list.networks).toHaveLength(4);
    expect([...list.hosts]).toEqual(['hooks.internal']);
  });

  it.each(['10.0.0.0/33', '10.0.0', '1.2.3.4/8/9', 'a b', 'http://x', '*.internal', '-x.example', '256.1.1.1'])(
    'names %s as what it does not understand',
    (entry) => {
      expect(parseAllowList(`10.0.0.0/8,${entry}`)).toEqual({ badEntry: entry });
    },
  );
});

describe('a URL', () => {
  it.each([
    'https://shop.example/notify?order=1&x=%20',
    'http://shop.example',
    'https://shop.example:8443/n',
    'http://93.184.216.34/n',
    'http://[2606:2800:220:1:248:1893:25c8:1946]:8080/',
    'https://商店.example/通知',
  ])('%s may be given', (url) => {
    expect(strict.urlFault(url)).toBeUndefined();
  });

  it.each([
    ['ftp://shop.example', 'http or https'],
    ['javascript:alert(1)', 'http or https'],
    ['shop.example/n', 'http or https'],
    ['http://', 'http or https'],
    ['http://shop.example/a b', 'http or https'],
    ['http://shop.example/\n', 'http or https'],
    ['http:\\\\127.0.0.1\\', 'http or https'],
    ['https://user@shop.example/', 'user name'],
    ['https://:pw@shop.example/', 'user name'],
    ['https://shop.example/#a', 'fragment'],
    ['http://127.0.0.1/', 'private network'],
    ['http://127.1/', 'private network'],
    ['http://017700000001/', 'private network'],
    ['http://[::1]/', 'private network'],
    ['http://[::ffff:127.0.0.1]/', 'private network'],
    ['http://169.254.169.254/', 'private network'],
    ['http://localhost/', 'private network'],
    ['http://a.localhost./', 'private network'],
    ['http://shop.example:22/', 'port'],
    ['https://shop.example:0/', 'port'],
    [`https://shop.example/${'x'.repeat(500)}`, '500 characters'],
  ])('%s may not: %s', (url, why) => {
    expect(strict.urlFault(url)?.en).toContain(why);
    expect(strict.urlFault(url)?.zh).toMatch(/\p{Script=Han}/u);
  });

  it('may lead to what is allowed, and to nothing else', () => {
    const policy = new OutboundPolicy(listOf('10.1.0.0/16,127.0.0.1,hooks.internal'));
    expect(policy.urlFault('http://10.1.2.3:81/')).toBeUndefined();
    expect(policy.urlFault('http://[::ffff:10.1.2.3]/')).toBeUndefined();
    expect(policy.urlFault('http://hooks.internal:25/')).toBeUndefined();
    expect(policy.urlFault('http://localhost:9000/')).toBeUndefined();
    expect(policy.urlFault('http://10.2.0.1/')).toBeDefined();
    expect(policy.urlFault('http://x.hooks.internal:25/')).toBeDefined();
  });

  it('that may not be given names its field', () => {
    expect(() => strict.check('notifyUrl', 'http://10.0.0.1/')).toThrow(DomainError);
    expect(() => strict.check('notifyUrl', 'http://10.0.0.1/')).toThrow(/^notifyUrl must not lead into/);
    expect(() => strict.check('notifyUrl', undefined)).not.toThrow();
    expect(() => strict.check('notifyUrl', null)).not.toThrow();
  });
});

describe('an address at the moment of connecting', () => {
  it('is judged whatever the name is, unless the name or the address is allowed', () => {
    const policy = new OutboundPolicy(listOf('10.1.0.0/16,hooks.internal'));
    expect(policy.addressFault('shop.example', '93.184.216.34')).toBeUndefined();
    expect(policy.addressFault('shop.example', '10.1.0.1')).toBeUndefined();
    expect(policy.addressFault('hooks.internal', '192.168.0.1')).toBeUndefined();
    expect(policy.addressFault('shop.example', '192.168.0.1')).toBe('a private address');
    expect(policy.addressFault('shop.example', '::ffff:192.168.0.1')).toBe('a private address');
  });
});
