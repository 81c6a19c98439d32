import type { UnionpayConfig } from '../../src/gateway/unionpay/unionpay.config.js';
import vectors from '../vectors/unionpay.json' with { type: 'json' };

const { merchant, middle, root } = vectors.chain;

/** A merchant's settings, with the certificates of the vectors. */
export const unionpayAccount: UnionpayConfig = {
  merId: '777290058110048',
  privateKey: merchant.privateKey,
  signCert: merchant.certificate,
  middleCert: middle,
  rootCert: root,
  notifyUrl: 'https://refunds.example.com/callback/unionpay/1',
};
