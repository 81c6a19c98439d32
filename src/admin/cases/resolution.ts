import type { CommandPreview } from '../../refund/command-preview.js';
import type { CaseProposal } from './case-proposal.entity.js';
import type { CommandCall } from './command-call.service.js';

/** What became of an operator's decision on a case. */
export type Resolution =
  | { state: 'previewed'; preview: CommandPreview }
  | { state: 'proposed'; preview: CommandPreview; proposal: CaseProposal }
  | { state: 'applied'; preview: CommandPreview; repairNo: string | null; call: CommandCall | null };
