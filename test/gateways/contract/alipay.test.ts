import { alipayGateway } from '../../../src/gateway/alipay/alipay.gateway.js';
import { gatewayContract } from '../../support/gateway-contract.js';

gatewayContract({
  gateway: alipayGateway,
  order: {
    gatewayRequestNo: 'R1',
    gatewayRequestTime: null,
    gatewayRefundNo: null,
    outTradeNo: 'T1',
    gatewayPaymentNo: null,
    amountMinor: 100,
    paymentAmountMinor: 1000,
    currency: 'CNY',
    reason: '质量 50% & "so" + /',
    clientIp: null,
  },
  // The product has one word, for success; its absence does not say which of the others it is.
  statuses: {
    processing: 'notFound',
    success: 'success',
    failed: 'failed',
    closed: 'notFound',
    abnormal: 'notFound',
    notFound: 'notFound',
  },
  wrongCredentials: { appId: '2021000199999999' },
});
