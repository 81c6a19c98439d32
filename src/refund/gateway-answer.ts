import { GatewayError } from '../gateway/gateway.error.js';
import type { Observation, RawAnswer } from '../gateway/observation.js';
import type { GatewayCallKind } from '../gateway/refusal-rules.js';
import type { DecideInput } from './decide.js';

/** An answer, or its lack, in the form that decide() takes, and what to keep of it as evidence. */
export interface GatewayAnswer {
  input: DecideInput;
  raw: RawAnswer | null;
}

/** Waits for a gateway call and turns both its outcomes into data. Anything but a GatewayError is a bug and goes on up. */
export async function gatewayAnswer(
  call: Promise<Observation>,
  via: GatewayCallKind,
  askedAtVersion: number,
): Promise<GatewayAnswer> {
  try {
    const observation = await call;
    return { input: { kind: 'observation', via, observation, askedAtVersion }, raw: observation.raw };
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    const { kind, code, message, retryAfterMs, nothingHappened, notAsked } = error;
    const raw = error.raw ?? { code, message, body: {} };
    return {
      input: {
        kind: 'fault',
        via,
        fault: { kind, code, message, retryAfterMs, nothingHappened, notAsked, answered: error.raw !== undefined },
        askedAtVersion,
      },
      raw,
    };
  }
}
