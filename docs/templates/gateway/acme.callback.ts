import { CallbackRejected, type CallbackHandler } from '../../../src/gateway/gateway.port.js';
import { parseObject } from '../../../src/gateway/json-object.js';
import type { AcmeConfig } from './acme.config.js';
import { isGenuine } from './acme.signature.js';
import { observe } from './acme.status.js';

export const acmeCallback: CallbackHandler<AcmeConfig> = {
  receive(raw, config) {
    // First, over the bytes as they came.
    if (!isGenuine(raw.body, raw.headers['acme-signature'], config.signingKey)) refuse('the signature is wrong');
    const fields = parseObject(raw.body.toString('utf8'));
    if (fields === undefined || typeof fields.event_id !== 'string' || fields.event_id === '')
      return refuse('it is no event');
    // Genuine, and about something else: acknowledged and forgotten.
    if (fields.event !== 'refund') return null;
    if (fields.merchant_no !== config.merchantNo) return refuse('it is of another merchant');
    const observation = observe(fields);
    if ('badField' in observation) return refuse(`${observation.badField} is missing or malformed`);
    return {
      eventKey: fields.event_id,
      eventType: `refund.${observation.kind}`,
      gatewayRequestNo: observation.identity.gatewayRequestNo ?? null,
      gatewayRefundNo: observation.identity.gatewayRefundNo ?? null,
      outTradeNo: observation.identity.outTradeNo ?? null,
      observation,
    };
  },
  // What the documents ask for, to the letter: anything else is sent again.
  accepted: { status: 200, contentType: 'text/plain', body: 'OK' },
  rejected: { status: 401, contentType: 'text/plain', body: 'BAD SIGNATURE' },
};

function refuse(reason: string): never {
  throw new CallbackRejected(`Acme Pay callback refused: ${reason}.`);
}
