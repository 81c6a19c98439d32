import { stripeGateway } from '../../../src/gateway/stripe/stripe.gateway.js';
import { uniqueNo } from '../../support/builders.js';
import { gatewayContract } from '../../support/gateway-contract.js';

gatewayContract({
  gateway: stripeGateway,
  order: {
    gatewayRequestNo: 'R1',
    gatewayRequestTime: null,
    gatewayRefundNo: null,
    outTradeNo: 'pi_1',
    gatewayPaymentNo: 'pi_1',
    amountMinor: 100,
    paymentAmountMinor: 1000,
    currency: 'USD',
    reason: 'requested_by_customer',
    clientIp: null,
  },
  statuses: {
    processing: 'processing',
    success: 'success',
    failed: 'failed',
    closed: 'failed',
    // `requires_action`: the customer must act, nothing is lost.
    abnormal: 'processing',
    notFound: 'notFound',
  },
  wrongCredentials: { secretKey: 'sk_test_of_somebody_else_00000000' },
  signsAnswers: false,
  gatewayPaymentNo: { own: true, next: () => `pi_${uniqueNo('x')}` },
});
