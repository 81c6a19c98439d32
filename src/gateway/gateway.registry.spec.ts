import { describe, expect, it } from 'vitest';
import type { RefundGateway } from './gateway.port.js';
import { GatewayRegistry } from './gateway.registry.js';
import { wechatGateway } from './wechat/wechat.gateway.js';

const connector = (over: Partial<RefundGateway>): RefundGateway => ({ ...(wechatGateway as RefundGateway), ...over });

describe('the connectors', () => {
  const v3 = connector({ displayName: 'three' });
  const v2 = connector({ displayName: 'two', apiVersion: 'v2' });
  const registry = new GatewayRegistry([v2, v3]);

  it('of one channel are told apart by what the account names', () => {
    expect(registry.forAccount('wechat_pay', { apiVersion: 'v2' })).toBe(v2);
    expect(registry.forAccount('wechat_pay', {})).toBe(v3);
    expect(registry.forChannel('wechat_pay')).toBe(v3);
  });

  it.each([{ apiVersion: 'v9' }, { apiVersion: 2 }, { apiVersion: '__proto__' }])(
    '%j names none: the ordinary one says what is wrong with it',
    (settings) => {
      expect(registry.forAccount('wechat_pay', settings)).toBe(v3);
    },
  );

  it('of another channel are not found under this one', () => {
    expect(registry.forAccount('ali_pay', { apiVersion: 'v2' })).toBeUndefined();
    expect(registry.channels()).toEqual(['wechat_pay']);
  });

  it.each([
    ['the same channel', [v3, connector({})], 'two connectors serve channel wechat_pay'],
    ['the same version', [v3, v2, connector({ apiVersion: 'v2' })], 'two connectors serve channel wechat_pay:v2'],
    ['one name, two channels', [v3, connector({ channel: 'ali_pay' })], 'two channels have connectors called wechat'],
  ])('cannot be two for %s', (_, gateways, fault) => {
    expect(() => new GatewayRegistry(gateways)).toThrow(fault);
  });
});
