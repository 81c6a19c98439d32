import { createPrivateKey, createPublicKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  encryptResource,
  replyMessage,
  requestMessage,
  signMessage,
  verifyMessage,
} from '../../sandbox/wechat/wechat.crypto.js';

// KEY-A: the public sample key of the wechatpay-go test-suite. Vectors: gateways.md §10.1.
const PRIVATE_KEY = createPrivateKey(
  pem(
    'PRIVATE KEY',
    'MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQDZUJN33V+dSfvdfL0Mu+39XrZNXFFMQSy1V15FpncHeV47SmV0TzTqZc7hHB0ddqAdDi8Z5k3TKqb76sOwYr5TcAfuR6PIPaleyE0/0KrljBum2Isa2Nyq7Dgc3ElBQ6YN4l/a+DpvKaz1FSKmKrhLNskqokWVSlu4g8OlKlbPXQ9ibII14MZRQrrkTmHYHzfi7GXXM0thAKuR0HNvyhTHBh4/lrYM3GaMvmWwkwvsMavnOex6+eioZHBOb1/EIZ/LzC6zuHArPpyW3daGaZ1rtQB1vVzTyERAVVFsXXgBHvfFud3w3ShsJYk8JvMwK2RpJ5/gV0QSARcmLDRUAlPzAgMBAAECggEBAMc7rDeUaXiWv6bMGbZ3BTXpg1FhdddnWUnYE8HfX/kmOFI7XtBHXcgYFpcjYz4D5787pcsk7ezPidAj58zqenuclmjKnUmT3pfbI5eCA2v4C9HnbYDrmUPK1ZcADtka4D6ScDccpNYNa1g2TFHzkIrEa6H+q7S3O2fqxY/DRVtN0JIXalBb8daaqL5QVzSmM2BMVnHy+YITJWIkP2a3pKs9C0W65JGDsnG0wVrHinHF+cnhFZIbaPEI//DAFMc9NkrWOKVRTEgcCUxCFaHOZVNxDWZD7A2ZfJB2rK6eg//ygEiFDR2h6mTaDowMB4YF2n2dsIO4/dCG8vPHI20jn4ECgYEA/ZGu6lEMlO0XZnamAZGtiNgLcCfM/C2ZERZE7QTRPZH1WdK92Al9ndldsswFw4baJrJLCmghjF/iG4zihhBvLnOLksnZUfjdumxoHDWXo2QBWbI5QsWIE7AuTiWgWj1I7X4fCXSQf6i+M/y26TogQ7d0ANpZFyOkTNMn/tiJvLECgYEA22XqlamG/yfAGWery5KNH2DGlTIyd6xJWtJ9j3jU99lZ0bCQ5xhiBbU9ImxCi3zgTsoqLWgA/p00HhNFNoUcTl9ofc0G3zwTD1y0ZzcnVKxGJdZ6ohW52V0hJStAigtjYAsUgjm7//FH7PiQDBDP1Wa6xSRkDQU/aSbQxvEE8+MCgYEA3bb8krW7opyM0XL9RHH0oqsFlVO30Oit5lrqebS0oHl3Zsr2ZGgoBlWBsEzk3UqUhTFwm/DhJLTSJ/TQPRkxnhQ5/mewNhS9C7yua7wQkzVmWN+VYeUGTvDGDF6qDz12/vJAgSwDDRym8x4NcXD5tTw7mmNRcwIfL22SkysThIECgYAVBgccoEoXWS/HP2/u6fQr9ZIR6eV8Ij5FPbZacTG3LlS1Cz5XZra95UgebFFUHHtCEY1JHJY7z8SWvTH8r3Su7eWNaIAoFBGffzqqSVazfm6aYZsOvRY6BfqPHT3p/H1hTq6AbBffxrcltgvXnCTORjHPglU0CjSxVs7awW3AEQKBgB5WtaC8VLROM7rkfVIq+RXqE5vtJfa3e3N7W3RqxKp4zHFAPfr82FK5CX2bppEaxY7SEZVvVInKDc5gKdG/jWNRBmvvftZhY59PILHO2X5vO4FXh7suEjy6VIh0gsnK36mmRboYIBGsNuDHjXLeBDa+8mDLkWu5nHEhOxy2JJZl',
  ),
);
const PUBLIC_KEY = createPublicKey(
  pem(
    'PUBLIC KEY',
    'MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA2VCTd91fnUn73Xy9DLvt/V62TVxRTEEstVdeRaZ3B3leO0pldE806mXO4RwdHXagHQ4vGeZN0yqm++rDsGK+U3AH7kejyD2pXshNP9Cq5YwbptiLGtjcquw4HNxJQUOmDeJf2vg6byms9RUipiq4SzbJKqJFlUpbuIPDpSpWz10PYmyCNeDGUUK65E5h2B834uxl1zNLYQCrkdBzb8oUxwYeP5a2DNxmjL5lsJML7DGr5znsevnoqGRwTm9fxCGfy8wus7hwKz6clt3Whmmda7UAdb1c08hEQFVRbF14AR73xbnd8N0obCWJPCbzMCtkaSef4FdEEgEXJiw0VAJT8wIDAQAB',
  ),
);

const NONCE = '593BEC0C930BF1AFEB40B4A08C8FB242';
const CREATE_BODY =
  '{"out_trade_no":"TESTORDER0001","out_refund_no":"TEST-REFUND-0001","notify_url":"https://merchant.example/wx/refund","amount":{"refund":100,"total":888,"currency":"CNY"}}';
const REPLY_BODY =
  '{"refund_id":"50000000382019052709732678859","out_refund_no":"TEST-REFUND-0001","transaction_id":"4200000000202401010000000001","out_trade_no":"TESTORDER0001","status":"PROCESSING"}';
const NOTIFICATION =
  '{"mchid":"1900000100","out_trade_no":"TESTORDER0001","transaction_id":"4200000000202401010000000001","out_refund_no":"TEST-REFUND-0001","refund_id":"50000000382019052709732678859","refund_status":"SUCCESS","success_time":"2024-01-01T08:05:00+08:00","user_received_account":"支付用户零钱","amount":{"total":888,"refund":100,"payer_total":888,"payer_refund":100}}';
const API_V3_KEY = 'a7cde1ZJB1kG2e7VfTs3jQzaWizur8Gb';
const GCM_NONCE = 'uluk4a9R25RW';

function pem(label: string, base64: string): string {
  return `-----BEGIN ${label}-----\n${(base64.match(/.{1,64}/g) ?? []).join('\n')}\n-----END ${label}-----\n`;
}

const SIGNATURES = [
  {
    name: 'W0: the official word',
    message: Buffer.from('source'),
    signature:
      'BKyAfU4iMCuvXMXS0Wzam3V/cnxZ+JaqigPM5OhljS2iOT95OO6Fsuml2JkFANJU9K6q9bLlDhPXuoVz+pp4hAm6pHU4ld815U4jsKu1RkyaII+1CYBUYC8TK0XtJ8FwUXXz8vZHh58rrAVN1XwNyvD1vfpxrMT4SL536GLwvpUHlCqIMzoZUguLli/K8V29QiOhuH6IEqLNJn8e9b3nwNcQ7be3CzYGpDAKBfDGPCqCv8Rw5zndhlffk2FEA70G4hvMwe51qMN/RAJbknXG23bSlObuTCN7Ndj1aJGH6/L+hdwfLpUtJm4QYVazzW7DFD27EpSQEqA8bX9+8m1rLg==',
  },
  {
    name: 'W1: a query',
    message: requestMessage(
      'GET',
      '/v3/refund/domestic/refunds/TEST-REFUND-0001',
      '1704067200',
      NONCE,
      Buffer.alloc(0),
    ),
    signature:
      'c6XJzKgi4YI1jJIvP6GI2h7gXISFV+Q6mamoRTgEpEvsepjo3hGm2HCvxn2WxKdumsn1k8lkuHQxABqLsr/x07XA87Cc1hsYzXkIfXLlGjhJtdvVIeVSRjQY9YJDdYZwFj3fyojE9cHAW7PnZQsOdKcOmwZZYNxr/icKtopBkmgimRcKnoQBXkcrB3fKEU7Z1GoWfa4QpfYqVanOvLnzJDTxd0cZyaVr7Qrc198Y705tawiMShVtjJe2ON4+L1skzQ09Suh90Y+2Q3YOpUAaM6L+NG0W8m3tJmQZGj2CsMIzwA4ivC1yCIQhD060yR6XvgOXkrXGljrRBbHs0DlS1Q==',
  },
  {
    name: 'W2: a create',
    message: requestMessage('POST', '/v3/refund/domestic/refunds', '1704067200', NONCE, Buffer.from(CREATE_BODY)),
    signature:
      'SQZGkn+fl7qP2TYT01b/9VdDQPOTZEq9x/satAPmmQZKbMHodZ0wqEmnv/3eQ//oEdth6tcgdF1GBTpSOQc1ViwD0cK4WYFg7EYOee6eBc2hyd0n1MrGmMEFDqXIK6Uav/vek0yDk/mIQla15J2gtRJRCb9mK1x+qmYVYna0Z5t2Lc8QVeev5OeRPgpHS4ScDT0p+F8xuFPUcb5uPzbr24Xhamur4MYC3OPYIYVKZ0oOmFNz1Gkj2E786Oj9gIHhXr8lX7+nzKSWnrrygiAFCwuelcRI8JHzniGYyDDkQo+IvBuZ1jnHZFni6D7sqxuoYBzYkA4HQreBJsskVU/5YQ==',
  },
  {
    name: 'W3: an answer',
    message: replyMessage('1704067201', 'c5ac7061fccab6bf3e254dcf98995b8c', REPLY_BODY),
    signature:
      'psQbnNNRWhHOKgNYUWqrUFGzVEk/AM+6g50UMwuj9Mt4XCuDWs1cNlW8Jvb1MaFVUdMtHHhjV1CemoAAUvtN5DgRZHWY0rLlDl3e4w95fdC6huNGog2C5jjP5sZs3LjgpV6aPbp8l4Uhv6reMQ5IUfnH0+Q4P6VtIl8Vj+8oAuKsLGCb/ycYRTC7V+pkZl4/LTyI0XEFlBUL7z4lFPL04gCJj1DgmpSBsxKjeIjV4L/q7yjGlqeVprO7Grkf97MlZmAhgGMrNV8HmJ2gOrB1MRZQ/XghNg/wBk7hVDbP+lT1QMMkBDJRwUX+silgiucdGatlAX/VG2+43efvIt7X9A==',
  },
];

describe('vectors of gateways.md §10.1', () => {
  it.each(SIGNATURES)('$name is signed and verified byte for byte', async ({ message, signature }) => {
    expect(await signMessage(message, PRIVATE_KEY)).toBe(signature);
    expect(verifyMessage(message, signature, PUBLIC_KEY)).toBe(true);
    expect(verifyMessage(Buffer.concat([message, Buffer.from('x')]), signature, PUBLIC_KEY)).toBe(false);
  });

  it('W1 signs a string of 94 bytes', () => {
    expect(SIGNATURES[1]?.message.length).toBe(94);
  });

  it('G0: the official message is encrypted to the official text', () => {
    expect(encryptResource('message', API_V3_KEY, GCM_NONCE, 'associatedData')).toBe(
      'ulwSiIajGClcvcOYvOQ7+l+0PAbzzwI=',
    );
  });

  it('G1: a refund notification', () => {
    expect(encryptResource(NOTIFICATION, API_V3_KEY, GCM_NONCE, 'refund')).toBe(
      'rBsMmI+tGftm+Xrox8sBR5YDR8EqBReXganp89J1fzFpdaGcz+ncriOs7s3fiagJ4zwiHjNi4Bd4vM1gRttK/WQU4+ymnGL7SXBT0qC0ki+vTRosdiQkwPbCy0Y0eyrhmY+OrQJVyXovmtj3oR0HruL66QFPYfd/MZOCNKGoDX9eebKvq2UFlpdc+4pF5S1B0PwkgutNSEqHS/o8Ost4KvgB5UGV6UNPXckBnBHYBUMuilxJSxqju9OLzJ4OGlv3cknsgEkniRBI2jd2Gaemi0uWL8v37XVRZSoBuYsCcbgx5EWTj0/Z9MTD70PvcnCuunvmYXgDVa9Mlxcn/AOeGXYdmEUS3McfqCBI+kjioLYWok9dTiwXc4hv+L4qdLt56ReXb7+bXPyuMjT5NqeK5CwhZtLxio2toOX1GqoecGkdPopjrAo5qbFgFT6vuaawjvWnlCAD+/4PYJgPsMskhx2iyFi1QSRQhAo9lkn9qrZJ8gbfaeFLGD7oZ1k6CY8=',
    );
  });

  it.each(['', 'not base64!', 'WECHATPAY/SIGNTEST/abc=', 'AAAA'])(
    'refuses the signature %j without throwing',
    (signature) => {
      expect(verifyMessage(Buffer.from('source'), signature, PUBLIC_KEY)).toBe(false);
    },
  );
});
