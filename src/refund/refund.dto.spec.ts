import 'reflect-metadata';
import { describe, expect, it } from 'vitest';
import { DomainError } from '../shared/errors.js';
import { toDto } from '../shared/http/dto.pipe.js';
import { RefundV2Dto } from './refund.dto.js';

const read = (refundChannels: unknown) => toDto(RefundV2Dto, { businessNo: 'P1', reqTime: 1, refundChannels });

describe('refundChannels', () => {
  it('is a list of one channel', async () => {
    const dto = await read([{ channel: 'wechat_pay', amount: 1 }]);
    expect(dto.refundChannels).toEqual([{ channel: 'wechat_pay', amount: 1 }]);
  });

  // A list in the list passed the validation, had no amount, and no amount was taken for "all": the whole balance was refunded.
  it.each([[[[]]], [[[{ channel: 'wechat_pay', amount: 1 }]]], [[null]], [['wechat_pay']], [[7]], [[{}]], [[]], [{}]])(
    '%j is none',
    async (refundChannels) => {
      const error: unknown = await read(refundChannels).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(DomainError);
      expect((error as DomainError).faults[0]?.field).toMatch(/^refundChannels/);
    },
  );
});
