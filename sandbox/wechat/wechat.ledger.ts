import type { CallbackControl, ChannelState } from '../gateway.js';
import { statusAt, type PaymentRecord, type RefundRecord } from '../refund-book.js';

/** WeChat's own limit of partial refunds of one order. */
const MAX_REFUNDS_OF_ORDER = 50;

/** A create that has the right form, whichever API it came by. Amounts in fen. */
export interface WechatCreate {
  outRefundNo: string;
  outTradeNo: string | undefined;
  transactionId: string | undefined;
  refund: number;
  total: number;
  currency: string;
  notifyUrl: string | undefined;
  /** What it says, in a fixed form: equal for two requests exactly when their content is. */
  content: string;
}

export const LEDGER_REFUSALS = {
  differs: '订单金额或退款金额与之前请求不一致，请核实后再试',
  fullyRefunded: '订单已全额退款',
  tooMuch: '申请退款金额大于订单剩余可退金额，请核实后再试',
  tooMany: `一笔订单最多支持${MAX_REFUNDS_OF_ORDER}次部分退款`,
  mismatch: '您的请求参数与订单信息不一致',
  noPayment: '订单不存在',
} as const;
export type LedgerReason = keyof typeof LEDGER_REFUSALS;

/** Well-formed, but not possible for this order. Each API has its own code for a reason; the words are the same. */
export class LedgerRefusal extends Error {
  override readonly name = 'LedgerRefusal';

  constructor(readonly reason: LedgerReason) {
    super(LEDGER_REFUSALS[reason]);
  }
}

/** What WeChat Pay does with a create, whichever of its APIs it came by: both write the same book. */
export class WechatLedger {
  /** Whether a refund is the service provider's. */
  private readonly ofPartner = new WeakMap<RefundRecord, boolean>();

  constructor(
    private readonly state: ChannelState,
    /** Asked for when it is needed: what makes callbacks asks this ledger whose they are. */
    private readonly callbacks: () => Pick<CallbackControl, 'watch'> & { watchFromNow(record: RefundRecord): void },
  ) {}

  /** @throws LedgerRefusal */
  create(
    record: RefundRecord,
    body: WechatCreate,
    by: { isPartner: boolean; secondKey: boolean; wire?: string },
  ): void {
    const { book, now, settings } = this.state;
    const nowMs = now();
    if (record.stored) {
      if (!this.belongsTo(record, by.isPartner)) throw new LedgerRefusal('mismatch');
      this.acceptRepeat(record, body);
      return;
    }
    const payment = this.paymentOf(body);
    const { count, heldAmount } = book.refundsOf(payment.outTradeNo, nowMs);
    if (payment.declared ? payment.amount !== body.total : body.total < payment.amount)
      throw new LedgerRefusal('differs');
    if (heldAmount >= body.total) throw new LedgerRefusal('fullyRefunded');
    if (heldAmount + body.refund > body.total) throw new LedgerRefusal('tooMuch');
    if (count >= MAX_REFUNDS_OF_ORDER) throw new LedgerRefusal('tooMany');
    if (!payment.declared)
      book.declarePayment({ outTradeNo: payment.outTradeNo, amount: body.total, currency: body.currency });
    book.create(
      record,
      {
        payment,
        amount: body.refund,
        notifyUrl: body.notifyUrl ?? null,
        content: body.content,
        defaultScript: settings.defaultScript,
        secondKey: by.secondKey,
        wire: by.wire,
      },
      nowMs,
    );
    this.ofPartner.set(record, by.isPartner);
    this.callbacks().watch(record, undefined);
  }

  /** An abnormal refund goes on its way again; the caller has checked that it is one. */
  redrive(record: RefundRecord): void {
    record.redirected = true;
    record.override = null;
    record.script = this.state.settings.defaultScript;
    record.scriptStartedAtMs = this.state.now();
    this.callbacks().watch(record, undefined);
  }

  /** A refund is of whoever makes it; one that the control API put there, of whoever asks first. */
  belongsTo(record: RefundRecord, isPartner: boolean): boolean {
    const owner = this.ofPartner.get(record) ?? isPartner;
    this.ofPartner.set(record, owner);
    return owner === isPartner;
  }

  isPartners(record: RefundRecord): boolean {
    return this.ofPartner.get(record) === true;
  }

  isAbnormal(record: RefundRecord): boolean {
    return statusAt(record, this.state.now()) === 'abnormal';
  }

  /** The same number again: the same content gets the refund as it is, other content is refused. */
  private acceptRepeat(record: RefundRecord, body: WechatCreate): void {
    if (record.content !== null) {
      if (record.content !== body.content) throw new LedgerRefusal('differs');
      return;
    }
    // Registered through the control API, which says less than a create: compare what both know, then keep the rest.
    const payment = this.state.book.payment(record.outTradeNo);
    const samePayment =
      (body.outTradeNo ?? record.outTradeNo) === record.outTradeNo &&
      (body.transactionId ?? payment?.transactionId) === payment?.transactionId;
    const sameTotal = payment?.declared !== true || payment.amount === body.total;
    if (!samePayment || !sameTotal || record.amount !== body.refund || record.currency !== body.currency)
      throw new LedgerRefusal('differs');
    record.content = body.content;
    if (record.notifyUrl === null && body.notifyUrl !== undefined) {
      record.notifyUrl = body.notifyUrl;
      this.callbacks().watchFromNow(record);
    }
  }

  private paymentOf(body: WechatCreate): PaymentRecord {
    const { book, settings } = this.state;
    const byTrade = body.outTradeNo === undefined ? undefined : book.payment(body.outTradeNo);
    const byTransaction = body.transactionId === undefined ? undefined : book.paymentByTransaction(body.transactionId);
    if (byTrade && body.transactionId !== undefined && byTrade !== byTransaction) throw new LedgerRefusal('mismatch');
    if (byTransaction && body.outTradeNo !== undefined && byTrade !== byTransaction)
      throw new LedgerRefusal('mismatch');
    const known = byTrade ?? byTransaction;
    if (known) return known;
    const outTradeNo = body.outTradeNo ?? body.transactionId;
    if (!settings.autoPayments || outTradeNo === undefined) throw new LedgerRefusal('noPayment');
    return book.declarePayment({
      outTradeNo,
      amount: body.total,
      currency: body.currency,
      transactionId: body.transactionId,
    });
  }
}
