/**
 * Why a person is asked, as a stable code: what cases are filtered by and what docs/cases.md explains one by one.
 *
 * - abnormal: the money left the merchant and did not arrive
 * - contradiction: the answer is about another amount, currency, number or merchant
 * - failedAfterSuccess: a failure after success, at a gateway that does not announce such
 * - goneAfterSuccess: the gateway no longer knows a refund that it had confirmed
 * - movedAfterEnd: the money was returned although we had ended the refund
 * - balanceSpent: the gateway works on a refund that we had ended, and its amount is no longer in the balance
 * - notFound: the gateway has not known it for the whole grace period
 * - createUnknown: our create may never have arrived and must not be repeated by itself
 * - gaveUp: no end after SYNC_GIVE_UP
 * - reopened: an operator took back an end
 */
export const REVIEW_CODES = [
  'abnormal',
  'contradiction',
  'failedAfterSuccess',
  'goneAfterSuccess',
  'movedAfterEnd',
  'balanceSpent',
  'notFound',
  'createUnknown',
  'gaveUp',
  'reopened',
] as const;
export type ReviewCode = (typeof REVIEW_CODES)[number];
