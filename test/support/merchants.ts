import { uniqueNo } from './builders.js';
import { MerchantClient } from './merchant-client.js';
import type { TestService } from './service.js';
import type { Dialect, DigestType } from './wire.js';

export interface AppOptions {
  dialect?: Dialect;
  signType?: DigestType;
  reqTimeWindowS?: number;
}

/** A merchant system with an app and a secret of its own; it names its app in the header. */
export async function newMerchant(
  service: TestService,
  options: AppOptions = {},
): Promise<{ appId: string; secret: string; client: MerchantClient }> {
  const { dialect = 'daxpay-v2', signType = 'MD5', reqTimeWindowS } = options;
  const appId = uniqueNo('app-');
  const secret = `secret of ${appId}`;
  await putApp(service, appId, { dialect, signType, signSecret: secret, reqTimeWindowS });
  const client = new MerchantClient(service.url, secret, signType, dialect, { 'x-app-id': appId });
  return { appId, secret, client };
}

export async function putApp(service: TestService, appId: string, put: Record<string, unknown>): Promise<void> {
  const { httpStatus, body } = await service.admin('PUT', `/admin/apps/${appId}`, put);
  if (httpStatus !== 200) throw new Error(`PUT app ${appId}: ${httpStatus} ${JSON.stringify(body)}`);
}

/** Turns switches of an interface. */
export async function turn(
  service: TestService,
  appId: string,
  code: 'syncRefund' | 'refund' | 'queryRefund',
  switches: { enabled?: boolean; requestSign?: boolean; responseSign?: boolean },
): Promise<void> {
  const { httpStatus, body } = await service.admin('PUT', `/admin/apps/${appId}/interfaces/${code}`, switches);
  if (httpStatus !== 200) throw new Error(`PUT interface ${code}: ${httpStatus} ${JSON.stringify(body)}`);
}
