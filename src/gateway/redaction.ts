/** Gateways' answers are redacted by the same rules as everybody else's. */
export { redactBody, redactText } from '../shared/redaction.js';
