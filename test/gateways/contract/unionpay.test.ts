import { unionpayGateway } from '../../../src/gateway/unionpay/unionpay.gateway.js';
import { gatewayContract } from '../../support/gateway-contract.js';

/** queryId of a payment. */
const PAYMENT = '012401051658420000001';
let payments = 0;

gatewayContract({
  gateway: unionpayGateway,
  settings: { notifyUrl: 'http://127.0.0.1:1/callback' },
  order: {
    gatewayRequestNo: 'REFUND01',
    gatewayRequestTime: new Date(),
    gatewayRefundNo: null,
    outTradeNo: 'T1',
    gatewayPaymentNo: PAYMENT,
    amountMinor: 100,
    paymentAmountMinor: 1000,
    currency: 'CNY',
    reason: '质量 50% & "so" + /',
    clientIp: null,
  },
  // It has no word for a refund that did not arrive; "see the reconciliation file" comes nearest.
  statuses: {
    processing: 'processing',
    success: 'success',
    failed: 'failed',
    closed: 'failed',
    abnormal: 'processing',
    notFound: 'notFound',
  },
  wrongCredentials: { merId: '777290058199999' },
  payment: { transactionId: PAYMENT },
  sharesClock: true,
  gatewayPaymentNo: {
    own: false,
    next: () => String(12401051658420000100n + BigInt((payments += 1))).padStart(21, '0'),
  },
});
