import type { Observation, RawAnswer } from './observation.js';
import { redactBody, redactText } from './redaction.js';

/** The gateway's texts are stored with the refund and answered to merchants, as is its raw answer: by whichever way they came in. */
export function redactObservation(observation: Observation, secrets: readonly string[]): Observation {
  const raw = redactRaw(observation.raw, secrets);
  switch (observation.kind) {
    case 'failed': {
      const code = redactText(observation.code, secrets).slice(0, 64);
      return { ...observation, raw, code, message: redactText(observation.message, secrets) };
    }
    case 'abnormal':
      return { ...observation, raw, message: redactText(observation.message, secrets) };
    case 'success':
    case 'processing':
    case 'notFound':
      return { ...observation, raw };
  }
}

export function redactRaw(raw: RawAnswer, secrets: readonly string[]): RawAnswer {
  return {
    code: redactText(raw.code, secrets).slice(0, 64),
    message: redactText(raw.message, secrets),
    body: redactBody(raw.body, secrets),
  };
}
