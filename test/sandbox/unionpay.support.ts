import { createHash, createPrivateKey, createVerify, sign, X509Certificate, type KeyObject } from 'node:crypto';
import { createSandbox, type Sandbox, type SandboxOptions } from '../../sandbox/server.js';
import { steer, type Steering } from '../support/steer.js';
import { send, type RawAnswer } from './support.js';

export interface UnionpaySettings {
  merId: string;
  privateKey: string;
  signCert: string;
  middleCert: string;
  rootCert: string;
  gatewayUrl: string;
}

export type Fields = Record<string, string>;

/** What a call changes of a good request. A field that is null is left out. */
export interface Overrides {
  fields?: Record<string, string | null>;
  /** Changes after signing. */
  unsigned?: Fields;
  contentType?: string;
  signal?: AbortSignal;
}

/** An answer, with its fields taken apart by the names that this test knows, in the order of the wire. */
export interface Reply extends RawAnswer {
  fields: Fields;
  /** Whether the signature is UnionPay's, by the certificate in the answer and the account's chain. */
  verified: boolean;
}

/** A merchant's client that shares no code with the sandbox, nor with the connector. */
export class UnionpayMerchant {
  readonly gateway: Steering;
  private readonly key: KeyObject;

  private constructor(
    readonly sandbox: Sandbox,
    readonly settings: UnionpaySettings,
  ) {
    this.key = createPrivateKey(settings.privateKey);
    this.gateway = steer(sandbox, 'union_pay');
  }

  static async start(options: SandboxOptions = {}): Promise<UnionpayMerchant> {
    const sandbox = await createSandbox(options);
    const account = sandbox.accounts().find(({ channel }) => channel === 'union_pay');
    return new UnionpayMerchant(sandbox, account?.config as unknown as UnionpaySettings);
  }

  query(orderId: string, txnTime = beijing(), overrides: Overrides = {}): Promise<Reply> {
    const own = { txnType: '00', txnSubType: '00', bizType: '000000', orderId, txnTime };
    return this.call('/gateway/api/queryTrans.do', own, overrides);
  }

  /** 1.00 of the payment whose queryId is given. */
  refund(orderId: string, origQryId: string, overrides: Overrides = {}): Promise<Reply> {
    const own = {
      txnType: '04',
      txnSubType: '00',
      bizType: '000201',
      channelType: '07',
      orderId,
      txnTime: beijing(),
      txnAmt: '100',
      origQryId,
      backUrl: 'http://127.0.0.1:1/notify',
    };
    return this.call('/gateway/api/backTransReq.do', own, overrides);
  }

  async call(path: string, own: Fields, overrides: Overrides = {}): Promise<Reply> {
    const all: Record<string, string | null> = {
      version: '5.1.0',
      encoding: 'UTF-8',
      signMethod: '01',
      certId: BigInt(`0x${new X509Certificate(this.settings.signCert).serialNumber}`).toString(10),
      accessType: '0',
      merId: this.settings.merId,
      ...own,
      ...overrides.fields,
    };
    const given = Object.fromEntries(
      Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== null),
    );
    const hex = createHash('sha256').update(sorted(given)).digest('hex');
    const signature = sign('RSA-SHA256', Buffer.from(hex), this.key).toString('base64');
    const form = new URLSearchParams({ signature, ...given, ...overrides.unsigned });
    if (overrides.fields?.signature === null) form.delete('signature');
    const headers = { 'Content-Type': overrides.contentType ?? 'application/x-www-form-urlencoded; charset=UTF-8' };
    const answer = await send(this.sandbox.url, 'POST', path, headers, form.toString(), overrides.signal);
    return this.read(answer);
  }

  /** By the rules alone. */
  verifies(fields: Fields): boolean {
    const { signature = '', signPubKeyCert = '', ...rest } = fields;
    if (signature === '' || signPubKeyCert === '') return false;
    const signer = new X509Certificate(signPubKeyCert);
    const middle = new X509Certificate(this.settings.middleCert);
    const root = new X509Certificate(this.settings.rootCert);
    if (!signer.verify(middle.publicKey) || !middle.verify(root.publicKey)) return false;
    if (!signer.subject.includes('@中国银联股份有限公司@')) return false;
    const hex = createHash('sha256')
      .update(sorted({ ...rest, signPubKeyCert }))
      .digest('hex');
    return createVerify('RSA-SHA256').update(hex).verify(signer.publicKey, signature, 'base64');
  }

  private read(answer: RawAnswer): Reply {
    const fields: Fields = {};
    // Every name that an answer can have; what stands between two of them is a value.
    const parts = answer.body.split(/(?:^|&)(?=(?:[a-z]\w+)=)/).filter((part) => part !== '');
    let depth = 0;
    let last = '';
    for (const part of parts) {
      const name = part.slice(0, part.indexOf('='));
      if (depth > 0) fields[last] += `&${part}`;
      else {
        last = name;
        fields[name] = part.slice(name.length + 1);
      }
      depth += (part.match(/[{[]/g)?.length ?? 0) - (part.match(/[}\]]/g)?.length ?? 0);
    }
    return { ...answer, fields, verified: answer.status === 200 && this.verifies(fields) };
  }
}

/** `YYYYMMDDhhmmss` of now, Beijing. */
export function beijing(ms = Date.now()): string {
  return new Date(ms + 8 * 3_600_000).toISOString().slice(0, 19).replace(/\D/g, '');
}

function sorted(fields: Fields): string {
  return Object.keys(fields)
    .sort()
    .filter((name) => name !== 'signature' && fields[name] !== '')
    .map((name) => `${name}=${fields[name]}`)
    .join('&');
}
