/** How an app signs: the two dialects of the real clients, and HMAC-SHA256 over the raw body. */
export const SIGN_DIALECT_NAMES = ['daxpay-v2', 'daxpay-v3', 'hmac-body'] as const;
export type SignDialectName = (typeof SIGN_DIALECT_NAMES)[number];

/** The interfaces of the merchant API that have switches of their own. */
export const INTERFACE_CODES = ['syncRefund', 'refund', 'queryRefund', 'events'] as const;
export type InterfaceCode = (typeof INTERFACE_CODES)[number];
