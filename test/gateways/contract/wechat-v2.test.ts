import { wechatV2Gateway } from '../../../src/gateway/wechat-v2/wechat-v2.gateway.js';
import { gatewayContract } from '../../support/gateway-contract.js';

gatewayContract({
  gateway: wechatV2Gateway,
  variant: 'v2',
  refund: { api: 'v2' },
  order: {
    gatewayRequestNo: 'R1',
    gatewayRequestTime: null,
    gatewayRefundNo: null,
    outTradeNo: 'TRADE-1',
    gatewayPaymentNo: null,
    amountMinor: 100,
    paymentAmountMinor: 1000,
    currency: 'CNY',
    reason: '质量 <50%> & "so" ]]> + /',
    clientIp: null,
  },
  statuses: {
    processing: 'processing',
    success: 'success',
    failed: 'failed',
    closed: 'failed',
    abnormal: 'abnormal',
    notFound: 'notFound',
  },
  wrongCredentials: { apiKey: '0123456789abcdef0123456789abcdef' },
});
