import { ApiProperty } from '@nestjs/swagger';
import type { GatewayAccountView } from '../gateway/gateway-account.service.js';
import { GATEWAY_CHANNELS, type GatewayChannel } from '../gateway/gateway.port.js';
import {
  INTERFACE_CODES,
  SIGN_DIALECT_NAMES,
  type InterfaceCode,
  type SignDialectName,
} from '../merchant/merchant-codes.js';
import type { AppView, InterfaceSwitches } from '../merchant/merchant-app.service.js';
import { SIGN_TYPES, type SignType } from '../shared/sign-type.js';
import { API_TIME } from './api.doc.js';

export class SwitchesModel implements InterfaceSwitches {
  @ApiProperty({ description: 'false: every call is answered 20000', example: true })
  enabled: boolean;

  @ApiProperty({ description: 'Whether requests must be signed', example: true })
  requestSign: boolean;

  @ApiProperty({ description: 'Whether answers are signed', example: false })
  responseSign: boolean;
}

export class InterfaceModel extends SwitchesModel {
  @ApiProperty({ description: 'The app', example: 'default' })
  appId: string;

  @ApiProperty({ enum: INTERFACE_CODES, description: 'The interface', example: 'syncRefund' })
  code: InterfaceCode;
}

class InterfacesModel implements Record<InterfaceCode, InterfaceSwitches> {
  @ApiProperty({ type: SwitchesModel, description: 'POST /unipay/syncRefund and /unipay/syncPay' })
  syncRefund: SwitchesModel;

  @ApiProperty({ type: SwitchesModel, description: 'POST /unipay/refund' })
  refund: SwitchesModel;

  @ApiProperty({ type: SwitchesModel, description: 'POST /uni/query/refundOrder' })
  queryRefund: SwitchesModel;

  @ApiProperty({ type: SwitchesModel, description: 'GET /events' })
  events: SwitchesModel;
}

export class AppModel implements AppView {
  @ApiProperty({ description: 'Chosen by whoever made it; the first app is `default`', example: 'default' })
  id: string;

  @ApiProperty({ description: 'For people', example: 'Main shop' })
  name: string;

  @ApiProperty({ description: 'false: every request of the app is refused', example: true })
  enabled: boolean;

  @ApiProperty({ enum: SIGN_DIALECT_NAMES, description: 'How requests and answers are signed', example: 'daxpay-v2' })
  dialect: SignDialectName;

  @ApiProperty({ enum: SIGN_TYPES, description: 'The digest of the signature', example: 'HMAC_SHA256' })
  signType: SignType;

  @ApiProperty({ ...API_TIME, description: 'Since when the secret is the one it is' })
  signSecretSince: Date;

  @ApiProperty({
    description: 'true while a rotation is under way: the secret before it verifies requests too',
    example: false,
  })
  previousSignSecretAccepted: boolean;

  @ApiProperty({ description: 'Seconds that reqTime may be away from now; 0 = not checked', example: 300 })
  reqTimeWindowS: number;

  @ApiProperty({
    type: String,
    nullable: true,
    description: 'Where ends are announced when the refund names no address',
    example: 'https://shop.example/notify',
  })
  notifyUrl: string | null;

  @ApiProperty({ type: InterfacesModel, description: 'The switches of each interface' })
  interfaces: InterfacesModel;

  @ApiProperty({ ...API_TIME, description: 'When the app was made' })
  createdAt: Date;

  @ApiProperty({ ...API_TIME, description: 'When anything of it but a switch last changed' })
  updatedAt: Date;
}

export class RotatedSecretModel extends AppModel {
  @ApiProperty({ description: 'The new secret, shown this once', example: 'Z0x3b1Yw5mRk8qVtJ2nCfHsLdGpXaQeU' })
  signSecret: string;
}

export class GatewayAccountModel implements GatewayAccountView {
  @ApiProperty({ description: 'Chosen by whoever made it; part of the callback address', example: 'main' })
  id: string;

  @ApiProperty({ type: String, nullable: true, description: 'The app that may use it; null: every app', example: null })
  appId: string | null;

  @ApiProperty({ enum: GATEWAY_CHANNELS, description: 'The channel that it serves', example: 'wechat_pay' })
  channel: GatewayChannel;

  @ApiProperty({ description: 'The connector', example: 'wechat' })
  gateway: string;

  @ApiProperty({ description: 'For people', example: 'Main shop' })
  name: string;

  @ApiProperty({ description: 'Number of the merchant at the gateway', example: '1900000100' })
  merchantId: string;

  @ApiProperty({ description: 'false: takes no new refunds', example: true })
  enabled: boolean;

  @ApiProperty({ description: 'true: the built-in sandbox, no money moves', example: false })
  sandbox: boolean;

  @ApiProperty({
    enum: ['review', 'close'],
    description: 'What becomes of a refund that the gateway never heard of, after the grace period',
    example: 'review',
  })
  notFoundPolicy: 'review' | 'close';

  @ApiProperty({
    type: Number,
    nullable: true,
    description: 'Calls a second over all processes; null: as the connector declares',
    example: null,
  })
  ratePerSecond: number | null;

  @ApiProperty({
    type: Number,
    nullable: true,
    description: 'Calls at the same time over all processes; null: as the connector declares',
    example: null,
  })
  maxConcurrency: number | null;

  @ApiProperty({ type: [String], description: 'The settings that are there', example: ['mchId', 'serialNo'] })
  settings: string[];

  @ApiProperty({
    type: String,
    nullable: true,
    description: 'Where the gateway sends callbacks, below the address of this service; null: it sends none',
    example: '/callback/wechat/main',
  })
  callbackPath: string | null;

  @ApiProperty({ ...API_TIME, description: 'When the account was made' })
  createdAt: Date;

  @ApiProperty({ ...API_TIME, description: 'When it last changed' })
  updatedAt: Date;
}
