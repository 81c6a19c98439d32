import { describe, expect, it } from 'vitest';
import { aRefundIn, NOW } from '../../test/support/refund-builders.js';
import { GATEWAY_ERROR_KINDS } from '../gateway/gateway.error.js';
import type { RefundStatus } from '../refund/refund-status.js';
import type { GatewayStatus, SyncRecord } from '../refund/sync-record.entity.js';
import { DomainError } from '../shared/errors.js';
import { syncAnswerOf } from './sync-answer.js';

const REPAIR_NO = '1753370980523324312';

/** A look that changed nothing: the gateway still works on it. */
function aRecord(changes: Partial<SyncRecord> = {}): SyncRecord {
  return {
    id: '1753370980523324300',
    refundId: '1000000000000000002',
    source: 'merchant',
    operation: 'query',
    traceId: null,
    startedAt: NOW,
    finishedAt: NOW,
    result: 'processing',
    errorKind: null,
    gatewayStatus: 'refund_progress',
    effect: 'unchanged',
    statusBefore: 'progress',
    statusAfter: 'progress',
    explanation: '',
    repairNo: null,
    answer: null,
    ...changes,
  };
}

function aRepair(from: RefundStatus, to: RefundStatus, gatewayStatus: GatewayStatus, repairNo = REPAIR_NO): SyncRecord {
  return aRecord({ effect: 'changed', statusBefore: from, statusAfter: to, gatewayStatus, repairNo });
}

const aFaultRecord = (errorKind: SyncRecord['errorKind']): SyncRecord =>
  aRecord({ result: 'error', errorKind, gatewayStatus: null });

const aSuperseded = (): SyncRecord => aRecord({ effect: 'superseded', gatewayStatus: null });

function answer(status: RefundStatus, records: SyncRecord[], changes: Parameters<typeof aRefundIn>[1] = {}) {
  return syncAnswerOf({ state: 'done', records, refund: aRefundIn(status, changes) }, 'zh');
}

function refusal(outcome: Parameters<typeof syncAnswerOf>[0]): DomainError {
  try {
    const given = syncAnswerOf(outcome, 'zh');
    throw new Error(`answered ${JSON.stringify(given)}`);
  } catch (error) {
    if (error instanceof DomainError) return error;
    throw error;
  }
}

const failureOf = (records: SyncRecord[], status: RefundStatus = 'progress') =>
  refusal({ state: 'done', records, refund: aRefundIn(status) });

describe('a look that was done', () => {
  it('and repaired the refund answers the five fields of the document', () => {
    expect(answer('success', [aRepair('progress', 'success', 'refund_success')])).toEqual({
      gatewayStatus: 'refund_success',
      success: true,
      repair: true,
      repairOrderNo: REPAIR_NO,
      errorMsg: '',
    });
  });

  it.each([
    ['still in progress', 'progress', 'refund_progress'],
    ['not known to the gateway', 'progress', 'pay_not_found'],
    ['already ended', 'success', 'refund_success'],
  ] as const)('and found it %s: asked, nothing repaired', (_what, status, gatewayStatus) => {
    expect(answer(status, [aRecord({ statusBefore: status, statusAfter: status, gatewayStatus })])).toEqual({
      gatewayStatus,
      success: true,
      repair: false,
      repairOrderNo: null,
      errorMsg: '',
    });
  });

  it('and found it failed says why, now and later', () => {
    const failed = { gatewayStatus: 'refund_fail', success: true, errorMsg: 'the account is closed' };
    const row = { errorMsg: 'the account is closed' };
    expect(answer('fail', [aRepair('progress', 'fail', 'refund_fail')], row)).toMatchObject({
      ...failed,
      repair: true,
    });
    const again = aRecord({ statusBefore: 'fail', statusAfter: 'fail', gatewayStatus: 'refund_fail' });
    expect(answer('fail', [again], row)).toMatchObject({ ...failed, repair: false });
    expect(answer('fail', [again], { errorMsg: null }).errorMsg).toBe('');
  });

  it('and closed it by policy is a repair that merchants see', () => {
    expect(answer('close', [aRepair('progress', 'close', 'pay_not_found')])).toMatchObject({
      gatewayStatus: 'pay_not_found',
      success: true,
      repair: true,
      repairOrderNo: REPAIR_NO,
    });
  });
});

describe('a refund that did not fail', () => {
  it.each(['success', 'close', 'progress'] as const)('has no error to report, being %s', (status) => {
    const record = aRecord({ statusBefore: status, statusAfter: status });
    expect(answer(status, [record], { errorMsg: 'the gateway never received this refund' }).errorMsg).toBe('');
  });
});

describe('a refund that a person must settle', () => {
  it('is in progress for merchants, without success and without a repair: what they see has not changed', () => {
    expect(answer('review', [aRepair('progress', 'review', 'refund_progress')])).toEqual({
      gatewayStatus: 'refund_progress',
      success: false,
      repair: false,
      repairOrderNo: null,
      errorMsg: '退款存在异常，已转人工处理',
    });
  });

  it('says so in English as well', () => {
    const outcome = { state: 'done' as const, records: [aRecord()], refund: aRefundIn('review') };
    expect(syncAnswerOf(outcome, 'en').errorMsg).toBe('the refund needs a person, who is on it');
  });

  it('never reads as success, whatever the gateway said of it', () => {
    const record = aRecord({ statusBefore: 'review', statusAfter: 'review', gatewayStatus: 'refund_success' });
    expect(answer('review', [record])).toMatchObject({
      gatewayStatus: 'refund_progress',
      success: false,
      repair: false,
    });
  });

  it('is a repair where merchants saw an end before', () => {
    expect(answer('review', [aRepair('success', 'review', 'refund_progress')])).toMatchObject({
      success: false,
      repair: true,
      repairOrderNo: REPAIR_NO,
    });
  });
});

describe('a look in several steps', () => {
  it('answers by its last step, and counts every step as this call', () => {
    const steps = [aRecord({ gatewayStatus: 'pay_not_found' }), aRepair('progress', 'success', 'refund_success')];
    expect(answer('success', steps)).toMatchObject({
      gatewayStatus: 'refund_success',
      repair: true,
      repairOrderNo: REPAIR_NO,
    });
  });

  it('names the newest of two repairs', () => {
    const steps = [
      aRepair('fail', 'progress', 'refund_progress', '1753370980523324001'),
      aRepair('progress', 'success', 'refund_success', '1753370980523324002'),
    ];
    expect(answer('success', steps)).toMatchObject({ repair: true, repairOrderNo: '1753370980523324002' });
  });

  it('that came back to where it began repaired nothing that merchants see', () => {
    const steps = [aRepair('fail', 'progress', 'refund_progress'), aRepair('progress', 'fail', 'refund_fail')];
    expect(answer('fail', steps)).toMatchObject({ repair: false, repairOrderNo: null });
  });

  it('answers by the second answer when the first was superseded', () => {
    const second = aRecord({ statusBefore: 'success', statusAfter: 'success', gatewayStatus: 'refund_success' });
    expect(answer('success', [aSuperseded(), second])).toMatchObject({
      gatewayStatus: 'refund_success',
      success: true,
    });
  });
});

describe('a look that did not succeed', () => {
  it.each(GATEWAY_ERROR_KINDS)(
    'because the gateway was %s is 20000 and says so, and the refund is not called failed',
    (kind) => {
      const error = failureOf([aFaultRecord(kind)]);
      expect(error.code).toBe('failed');
      expect(error.text.zh).toMatch(/^同步失败: .{4,}/);
      expect(error.text.en).toMatch(/^the sync did not succeed: .{4,}/);
    },
  );

  it('has a text of its own for each kind', () => {
    const texts = GATEWAY_ERROR_KINDS.map((kind) => failureOf([aFaultRecord(kind)]).text);
    expect(new Set(texts.map(({ zh }) => zh)).size).toBe(GATEWAY_ERROR_KINDS.length);
    expect(new Set(texts.map(({ en }) => en)).size).toBe(GATEWAY_ERROR_KINDS.length);
  });

  it.each([
    ['paced', '限速'],
    ['circuit_open', '暂停调用'],
  ])('because nobody was asked (%s) says that, and not that the gateway is down', (code, word) => {
    const record = { ...aFaultRecord('unavailable'), answer: { code, message: '', body: {} } };
    expect(failureOf([record]).text.zh).toMatch(new RegExp(`^同步失败: .*${word}`));
  });

  it('because its repeated create got no answer is 20000, too', () => {
    expect(failureOf([aRecord({ gatewayStatus: 'pay_not_found' }), aFaultRecord('ambiguous')]).code).toBe('failed');
  });

  it('because the status kept changing asks to come again', () => {
    expect(failureOf([aSuperseded(), aSuperseded()]).text.zh).toContain('请重试');
  });

  it('for a refund in review is 20000 as well: nobody was asked', () => {
    expect(failureOf([aFaultRecord('unavailable')], 'review').code).toBe('failed');
  });

  it('without any record is 20000', () => {
    expect(failureOf([]).code).toBe('failed');
  });
});

describe('no look', () => {
  it('while another one runs is 10007', () => {
    expect(refusal({ state: 'running' }).code).toBe('syncRunning');
  });

  it.each([
    ['goesOn', '后台'],
    ['queueAway', '队列'],
    ['broken', '系统'],
  ] as const)('%s is 20000 with a text that says so', (state, word) => {
    const error = refusal({ state });
    expect(error.code).toBe('failed');
    expect(error.text.zh).toMatch(new RegExp(`^同步失败: .*${word}`));
  });
});
