/** Digests of the merchant API's signatures; SM3 belongs to dialect `daxpay-v3` alone. */
export const SIGN_TYPES = ['MD5', 'HMAC_SHA256', 'SM3'] as const;
export type SignType = (typeof SIGN_TYPES)[number];
