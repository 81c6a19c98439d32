import { requestJson } from './http.js';
import type { ServiceProcess } from './service-process.js';

/** What we read of GET /admin/refunds/:id. */
export interface RefundDetail {
  id: string;
  status: string;
  payment: { businessNo: string; amount: number; refundableBalance: number; overRefunded: number };
  timeline: { type: string; entry: { repairNo?: string; target?: string } }[];
}

/** What we read of the sandbox's GET /control/refunds/:channel/:outRefundNo. */
export interface GatewayRecord {
  queries: number;
  creates: number;
  activeCalls: number;
  maxConcurrentCalls: number;
  refundsAtGateway: number;
}

/** The internal API of the service, and the side door of the sandbox. Anything but a 2xx is an error. */
export class Operator {
  constructor(private readonly service: ServiceProcess) {}

  admin<T>(method: 'GET' | 'POST' | 'PUT', path: string, body?: unknown): Promise<T> {
    return expectOk(method, this.service.url + path, { token: this.service.adminToken, body });
  }

  sandbox<T>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<T> {
    return expectOk(method, this.service.sandboxUrl + path, { body });
  }

  refund(id: string): Promise<RefundDetail> {
    return this.admin('GET', `/admin/refunds/${id}`);
  }

  gatewayRecord(channel: string, outRefundNo: string): Promise<GatewayRecord> {
    return this.sandbox('GET', `/control/refunds/${channel}/${outRefundNo}`);
  }
}

async function expectOk<T>(method: string, url: string, options: { token?: string; body?: unknown }): Promise<T> {
  const { status, body } = await requestJson<T>(method, url, options);
  if (status < 200 || status > 299) throw new Error(`${method} ${url}: HTTP ${status} ${JSON.stringify(body)}`);
  return body;
}
