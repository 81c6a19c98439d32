import { describe, expect, it } from 'vitest';
import { acmeGateway, classify } from '../../docs/templates/gateway/acme.gateway.js';
import { sign } from '../../docs/templates/gateway/acme.signature.js';
import { GatewayRegistry } from '../../src/gateway/gateway.registry.js';
import { CallbackRejected, GATEWAY_CHANNELS } from '../../src/gateway/gateway.port.js';

const config = { merchantNo: 'M10001', signingKey: '0123456789abcdef0123456789abcdef' };
const refund = { refund_no: 'R1', refund_id: 'A1', order_no: 'T1', amount: 100, currency: 'CNY', status: 'DONE' };

describe('the template of a connector', () => {
  it('is one that the registry takes, and that no build has', () => {
    expect(() => new GatewayRegistry([acmeGateway])).not.toThrow();
    expect(GATEWAY_CHANNELS).not.toContain(acmeGateway.channel);
  });

  it('reads an answer as connectors must', () => {
    const answer = { httpStatus: 200, body: JSON.stringify(refund), verified: true };
    expect(classify('query', answer)).toMatchObject({ kind: 'success', amountMinor: 100, gatewayRefundNo: 'A1' });
    expect(() => classify('query', { ...answer, verified: false })).toThrow('not believed');
    expect(classify('query', { ...answer, body: JSON.stringify({ ...refund, status: 'NEW_WORD' }) }).kind).toBe(
      'processing',
    );
    const missing = { httpStatus: 404, body: '{"code":"NO_SUCH_REFUND"}', verified: true };
    expect(classify('query', missing).kind).toBe('notFound');
    const refused = { httpStatus: 400, body: '{"code":"AMOUNT_TOO_LARGE"}', verified: true };
    expect(() => classify('create', refused)).toThrow(expect.objectContaining({ nothingHappened: true }) as Error);
    expect(() => classify('create', { ...refused, httpStatus: 502 })).toThrow(
      expect.objectContaining({ kind: 'ambiguous' }) as Error,
    );
  });

  it('takes a genuine callback and no other', () => {
    const body = Buffer.from(JSON.stringify({ ...refund, event: 'refund', event_id: 'E1', merchant_no: 'M10001' }));
    const receive = (signature: string) =>
      acmeGateway.callback?.receive({ headers: { 'acme-signature': signature }, body, receivedAt: new Date() }, config);
    expect(receive(sign(body, config.signingKey))).toMatchObject({ eventKey: 'E1', gatewayRequestNo: 'R1' });
    expect(() => receive(sign(body, 'another key'))).toThrow(CallbackRejected);
  });
});
