import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { currencyExponent, decimalToMinor, isAmount, isCurrency, minorToDecimal } from './money.js';

describe('money', () => {
  it('reads decimals without a fraction in between', () => {
    expect(decimalToMinor('0.57', 'CNY')).toBe(57);
    expect(decimalToMinor('12345678.9', 'CNY')).toBe(1_234_567_890);
    expect(decimalToMinor('1.10', 'CNY')).toBe(110);
    expect(decimalToMinor('5', 'JPY')).toBe(5);
    expect(decimalToMinor('1.234', 'KWD')).toBe(1234);
  });

  it.each(['1.001', '', '.5', '1.', '-1', '+1', '1e3', ' 1', '1,0', '9999999999999999'])('refuses %j', (text) => {
    expect(decimalToMinor(text, 'CNY')).toBeUndefined();
  });

  it('refuses digits that the currency does not have', () => {
    expect(decimalToMinor('1.5', 'JPY')).toBeUndefined();
    expect(decimalToMinor('1.0', 'JPY')).toBe(1);
  });

  it('goes there and back for every amount and exponent', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 999_999_999_999 }),
        fc.constantFrom('CNY', 'JPY', 'KWD', 'USD'),
        (amount, currency) => {
          expect(decimalToMinor(minorToDecimal(amount, currency), currency)).toBe(amount);
        },
      ),
    );
  });

  it('knows currencies and amounts', () => {
    expect(['CNY', 'USD', 'JPY'].every(isCurrency)).toBe(true);
    expect(['cny', 'XXQ', 'CN'].some(isCurrency)).toBe(false);
    expect([1, 100].every(isAmount)).toBe(true);
    expect([0, -1, 1.5, NaN, 2 ** 53, '1'].some(isAmount)).toBe(false);
    expect(currencyExponent('CNY')).toBe(2);
    // Written without decimals, counted in hundredths: a factor of 100 at the gateway.
    expect(['HUF', 'IDR', 'PKR', 'UGX', 'KWD'].map(currencyExponent)).toEqual([2, 2, 2, 0, 3]);
  });
});
