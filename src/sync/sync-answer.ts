import type { GatewayErrorKind } from '../gateway/gateway.error.js';
import { isVisibleChange } from '../refund/decide.js';
import type { Refund } from '../refund/refund.entity.js';
import type { GatewayStatus, SyncRecord } from '../refund/sync-record.entity.js';
import { DomainError, type LocalText } from '../shared/errors.js';
import type { Language } from '../shared/envelope.js';
import type { SyncOutcome } from './sync-request.service.js';

/** `data` of `POST /unipay/syncRefund`: the five fields of the document. */
export interface SyncAnswer {
  gatewayStatus: GatewayStatus;
  /** False when a person must settle the refund. */
  success: boolean;
  /** The status that merchants see changed in this call. */
  repair: boolean;
  /** 19 digits; null when nothing was repaired. */
  repairOrderNo: string | null;
  errorMsg: string;
}

const FAULTS: Record<GatewayErrorKind, LocalText> = {
  unavailable: {
    zh: '支付网关无法访问或应答不可信',
    en: 'the gateway cannot be reached or its answer cannot be believed',
  },
  rateLimited: { zh: '支付网关限流', en: 'the gateway wants fewer requests' },
  ambiguous: { zh: '支付网关结果未知', en: 'the outcome at the gateway is unknown' },
  rejected: { zh: '支付网关拒绝了请求', en: 'the gateway refused the request' },
  badConfig: { zh: '支付网关账户配置有误', en: 'the gateway account is not configured rightly' },
};

/** Nobody was asked: the account's pace did not allow it. By the code of the record's answer. */
const NOT_ASKED: Readonly<Record<string, LocalText>> = {
  paced: {
    zh: '请求过多，已达支付网关限速，稍后自动同步',
    en: 'too many calls for this gateway account right now, the refund will be synced by itself',
  },
  circuit_open: {
    zh: '支付网关近期无应答，已暂停调用，稍后自动同步',
    en: 'the gateway has not answered lately and is left alone for a while, the refund will be synced by itself',
  },
};

const IN_REVIEW: LocalText = {
  zh: '退款存在异常，已转人工处理',
  en: 'the refund needs a person, who is on it',
};

/**
 * What merchants read of an outcome.
 *
 * @throws DomainError `syncRunning`, or `failed` when the gateway could not be asked or the wait ran out.
 */
export function syncAnswerOf(outcome: SyncOutcome, language: Language): SyncAnswer {
  switch (outcome.state) {
    case 'running':
      throw new DomainError('syncRunning', '');
    case 'goesOn':
      throw failed({ zh: '等待超时，同步在后台继续', en: 'the wait ran out, the sync goes on in the background' });
    case 'queueAway':
      throw failed({
        zh: '同步队列暂时不可用，稍后会自动同步',
        en: 'the sync queue is away, the refund will be synced later by itself',
      });
    case 'broken':
      throw failed({ zh: '系统暂时无法完成同步', en: 'the service could not finish the sync' });
    case 'done':
      return answerOf(outcome.records, outcome.refund, language);
  }
}

function answerOf(records: SyncRecord[], refund: Refund, language: Language): SyncAnswer {
  const last = records.at(-1);
  if (!last || last.gatewayStatus === null) {
    throw failed(
      last?.errorKind
        ? (NOT_ASKED[last.answer?.code ?? ''] ?? FAULTS[last.errorKind])
        : { zh: '退款状态正在变化，请重试', en: 'the refund is changing, please ask again' },
    );
  }
  const first = records[0] ?? last;
  const repair = isVisibleChange(first.statusBefore, last.statusAfter);
  const repairOrderNo = repair ? (records.findLast(({ repairNo }) => repairNo !== null)?.repairNo ?? null) : null;
  if (refund.status === 'review') {
    return { gatewayStatus: 'refund_progress', success: false, repair, repairOrderNo, errorMsg: IN_REVIEW[language] };
  }
  return {
    gatewayStatus: last.gatewayStatus,
    success: true,
    repair,
    repairOrderNo,
    errorMsg: refund.status === 'fail' ? (refund.errorMsg ?? '') : '',
  };
}

function failed(why: LocalText): DomainError {
  return new DomainError('failed', { zh: `同步失败: ${why.zh}`, en: `the sync did not succeed: ${why.en}` });
}
