import { wechatGateway } from '../../../src/gateway/wechat/wechat.gateway.js';
import { gatewayContract } from '../../support/gateway-contract.js';

gatewayContract({
  gateway: wechatGateway,
  order: {
    gatewayRequestNo: 'R1',
    gatewayRequestTime: null,
    gatewayRefundNo: null,
    outTradeNo: 'TRADE-1',
    gatewayPaymentNo: null,
    amountMinor: 100,
    paymentAmountMinor: 1000,
    currency: 'CNY',
    reason: '质量 50% & "so" + /',
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
  wrongCredentials: { serialNo: '0123456789ABCDEF0123456789ABCDEF01234567' },
});
