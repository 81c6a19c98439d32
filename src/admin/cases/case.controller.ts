import { Body, Controller, Get, HttpCode, Param, Post, Put, Query, Req, Res } from '@nestjs/common';
import { ApiBearerAuth, ApiCookieAuth, ApiOperation, ApiParam, ApiTags } from '@nestjs/swagger';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { OPERATOR_COMMANDS } from '../../refund/decide-command.js';
import { OperatorCommands } from '../../refund/operator-command.service.js';
import { actorOf } from '../admin.guard.js';
import { ApiId, ApiPage, ApiResult } from '../api.doc.js';
import { MinRole } from '../min-role.js';
import type { Page } from '../page.js';
import { ApiProblems } from '../problem.doc.js';
import { CaseDesk } from './case-desk.service.js';
import {
  AssignCaseDto,
  CaseDetailView,
  CaseView,
  ConfirmProposalDto,
  ListCasesDto,
  ProposalView,
  proposalViewOf,
  RejectProposalDto,
  ResolutionView,
  ResolveCaseDto,
  resolutionViewOf,
  WithdrawProposalDto,
} from './case.dto.js';
import { ProposalStore } from './proposal.store.js';
import { ResolutionService } from './resolution.service.js';

const RefundId = () => ApiParam({ name: 'refundId', description: 'Id of the refund', example: '2124609641629716480' });
/** What resolve does when it is not told where to. */
const DEFAULT_REDRIVE = { to: 'merchantAccount' };
const GONE = 'no refund 1';

@ApiTags('Internal API: cases')
@ApiBearerAuth()
@ApiCookieAuth()
@MinRole('operator')
@Controller('admin')
export class CaseController {
  constructor(
    private readonly desk: CaseDesk,
    private readonly commands: OperatorCommands,
    private readonly resolutions: ResolutionService,
    private readonly proposals: ProposalStore,
  ) {}

  @MinRole('viewer')
  @Get('cases')
  @ApiOperation({ summary: 'List cases: refunds that a person must settle' })
  @ApiPage(CaseView, 'Cases in the order in which their refunds were registered')
  @ApiProblems({ 400: 'olderThan must be a number with s, m, h or d, as in 24h' })
  list(@Query() query: ListCasesDto): Promise<Page<CaseView>> {
    return this.desk.list(query);
  }

  @MinRole('viewer')
  @Get('cases/:refundId')
  @ApiOperation({
    summary: 'A case: why, what the gateway said, and what can be done, each with its preview or why not',
  })
  @RefundId()
  @ApiResult(200, CaseDetailView, 'The refund as a case; of one that is none, only what could make it one')
  @ApiProblems({ 404: GONE })
  async detail(@Param('refundId') refundId: string): Promise<CaseDetailView> {
    const { refund, payment } = await this.desk.find(refundId);
    const given = { expectedVersion: refund.version, note: '' };
    const resolutions = [];
    for (const command of OPERATOR_COMMANDS) {
      const considered = await this.commands.consider(refund, payment, {
        ...given,
        command,
        ...(command === 'redrive' ? { options: DEFAULT_REDRIVE } : {}),
      });
      resolutions.push(
        considered.allowed
          ? { command, allowed: true, refusal: null, why: null, preview: considered.preview }
          : { command, allowed: false, refusal: considered.code, why: considered.why, preview: null },
      );
    }
    return {
      ...this.desk.view(refund),
      payment: {
        id: payment.id,
        businessNo: payment.businessNo,
        amount: payment.amount,
        currency: payment.currency,
        status: payment.status,
        refundableBalance: payment.refundableBalance,
        overRefunded: payment.overRefunded,
        refundedAmount: payment.refundedAmount,
      },
      resolutions,
      evidence: await this.desk.evidence(refund.id),
      proposals: (await this.proposals.ofRefund(refund.id)).map(proposalViewOf),
    };
  }

  @Put('cases/:refundId/owner')
  @ApiOperation({ summary: 'Take a case, give it to somebody, or give it back' })
  @RefundId()
  @ApiResult(200, CaseView, 'The case with its owner')
  @ApiProblems({ 400: 'owner must be text of 1 to 100 characters, or null', 404: GONE, 409: 'refund is no case' })
  assign(
    @Req() request: FastifyRequest,
    @Param('refundId') refundId: string,
    @Body() body: AssignCaseDto,
  ): Promise<CaseView> {
    const actor = actorOf(request);
    return this.desk.assign(refundId, body.owner === undefined ? actor : body.owner, actor);
  }

  @Post('refunds/:id/resolve')
  @HttpCode(200)
  @ApiOperation({
    summary: 'Settle a case, or preview it with dryRun; undo an end with the command reopen',
    description:
      'Bound to what the operator saw: a refund with another version than `expectedVersion`, or anything that the preview of this `preview` showed and that is different now, is answered 409 and nothing changes. With REVIEW_FOUR_EYES=true it becomes a proposal (202) that another operator confirms.',
  })
  @ApiId('the refund')
  @ApiResult(200, ResolutionView, 'Previewed, or applied')
  @ApiResult(202, ResolutionView, 'Proposed: another operator must confirm it')
  @ApiProblems({
    400: 'command must be one of acceptSuccess, acceptFailure, close, keepWaiting, sendAgain, redrive, reopen',
    404: GONE,
    409: 'command close is refused (gatewaySaysOtherwise): the last word of the gateway is processing',
  })
  async resolve(
    @Req() request: FastifyRequest,
    @Param('id') id: string,
    @Body() body: ResolveCaseDto,
    @Res({ passthrough: true }) reply: FastifyReply,
  ): Promise<ResolutionView> {
    const { refund, payment } = await this.desk.find(id);
    const resolution = await this.resolutions.resolve(refund, payment, body, actorOf(request));
    if (resolution.state === 'proposed') void reply.status(202);
    return this.viewOf(id, resolution);
  }

  @Post('cases/:refundId/proposals/:id/confirm')
  @HttpCode(200)
  @ApiOperation({ summary: 'Confirm what another operator proposed; it is done exactly as it was shown' })
  @RefundId()
  @ApiId('the proposal')
  @ApiResult(200, ResolutionView, 'Applied')
  @ApiProblems({
    403: 'token:anna has proposed this: another operator must confirm it',
    404: GONE,
    409: 'proposal is expired',
  })
  async confirm(
    @Req() request: FastifyRequest,
    @Param('refundId') refundId: string,
    @Param('id') id: string,
    @Body() body: ConfirmProposalDto,
  ): Promise<ResolutionView> {
    const { refund } = await this.desk.find(refundId);
    return this.viewOf(refundId, await this.resolutions.confirm(refund, id, body, actorOf(request)));
  }

  @Post('cases/:refundId/proposals/:id/reject')
  @HttpCode(200)
  @ApiOperation({ summary: 'Say no to what another operator proposed' })
  @RefundId()
  @ApiId('the proposal')
  @ApiResult(200, ProposalView, 'Rejected')
  @ApiProblems({ 403: 'token:anna has proposed this: withdraw it instead', 404: GONE, 409: 'proposal is confirmed' })
  async reject(
    @Req() request: FastifyRequest,
    @Param('refundId') refundId: string,
    @Param('id') id: string,
    @Body() body: RejectProposalDto,
  ): Promise<ProposalView> {
    const { refund } = await this.desk.find(refundId);
    return proposalViewOf(await this.resolutions.reject(refund, id, body.note, actorOf(request)));
  }

  @Post('cases/:refundId/proposals/:id/withdraw')
  @HttpCode(200)
  @ApiOperation({ summary: 'Take back what one proposed oneself' })
  @RefundId()
  @ApiId('the proposal')
  @ApiResult(200, ProposalView, 'Withdrawn')
  @ApiProblems({ 403: 'only token:anna can withdraw this: reject it instead', 404: GONE, 409: 'proposal is expired' })
  async withdraw(
    @Req() request: FastifyRequest,
    @Param('refundId') refundId: string,
    @Param('id') id: string,
    @Body() body: WithdrawProposalDto,
  ): Promise<ProposalView> {
    const { refund } = await this.desk.find(refundId);
    return proposalViewOf(await this.resolutions.withdraw(refund, id, body.note, actorOf(request)));
  }

  /** With the refund as it is now: a gateway call may have changed it once more. */
  private async viewOf(refundId: string, resolution: Parameters<typeof resolutionViewOf>[0]): Promise<ResolutionView> {
    const { refund } = await this.desk.find(refundId);
    return resolutionViewOf(resolution, this.desk.view(refund));
  }
}
