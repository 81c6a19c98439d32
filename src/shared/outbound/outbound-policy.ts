import { isIP } from 'node:net';
import { invalidField, type LocalText } from '../errors.js';
import { forbiddenAddress } from './address-rules.js';
import { allowsAddress, allowsHost, type AllowList } from './allow-list.js';

const MAX_URL_LENGTH = 500;
const WEB_PORTS: ReadonlySet<number> = new Set([80, 443]);
/** Below it live mail, remote shells and the like; an address given by a stranger must not make us talk to them. */
const FIRST_FREE_PORT = 1_024;

/**
 * Where the service may send a request because somebody gave it the address. Names are judged twice: by what they look like when they
 * come in, and by what they resolve to each time a connection is made.
 */
export class OutboundPolicy {
  constructor(private readonly allow: AllowList) {}

  /** What is wrong with a URL by its looks alone; undefined when nothing is. */
  urlFault(text: string): LocalText | undefined {
    if (text.length > MAX_URL_LENGTH)
      return { zh: `最长 ${MAX_URL_LENGTH} 个字符`, en: `must have at most ${MAX_URL_LENGTH} characters` };
    // URL would take white space and control characters out, and what was stored would not be what is called.
    const url = /[\s\p{Cc}\\]/u.test(text) || !URL.canParse(text) ? undefined : new URL(text);
    if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:'))
      return { zh: '必须是 http 或 https 地址', en: 'must be an http or https address' };
    if (url.username !== '' || url.password !== '')
      return { zh: '地址中不能包含用户名或密码', en: 'must not hold a user name or password' };
    if (url.hash !== '') return { zh: '地址中不能包含 #', en: 'must not hold a fragment (#)' };
    const hostname = bareHostname(url);
    if (allowsHost(this.allow, hostname)) return undefined;
    const literal = isIP(hostname) !== 0;
    if (literal && allowsAddress(this.allow, hostname)) return undefined;
    const why = literal ? forbiddenAddress(hostname) : this.localName(hostname);
    if (why !== undefined)
      return {
        zh: `不能指向内部网络（${hostname}）；管理员可用 NOTIFY_ALLOW 放行`,
        en: `must not lead into a private network: ${hostname} is ${why} (NOTIFY_ALLOW can permit it)`,
      };
    if (!isOpenPort(url))
      return {
        zh: `端口必须是 80、443 或不小于 ${FIRST_FREE_PORT}`,
        en: `must have port 80, 443 or ${FIRST_FREE_PORT} and above`,
      };
    return undefined;
  }

  /** @throws DomainError `invalid` naming the field, when the URL is given and must not be called. */
  check(field: string, url: string | null | undefined): void {
    const fault = url === null || url === undefined ? undefined : this.urlFault(url);
    if (fault) throw invalidField(field, fault);
  }

  /**
   * What is wrong with the address that a name has led to, at the moment of connecting; undefined when nothing is.
   *
   * @param hostname as in the URL, or the address itself.
   */
  addressFault(hostname: string, address: string): string | undefined {
    if (allowsHost(this.allow, hostname) || allowsAddress(this.allow, address)) return undefined;
    return forbiddenAddress(address);
  }

  /** Names that mean this machine wherever they are resolved (RFC 6761), unless this machine may be called. */
  private localName(hostname: string): string | undefined {
    const isLocal = hostname === 'localhost' || hostname.endsWith('.localhost');
    return isLocal && !allowsAddress(this.allow, '127.0.0.1') ? 'this machine' : undefined;
  }
}

/** The host of a URL without the brackets of IPv6 and without the dot at the end of a full name. */
export function bareHostname(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
}

function isOpenPort(url: URL): boolean {
  const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
  return WEB_PORTS.has(port) || port >= FIRST_FREE_PORT;
}
