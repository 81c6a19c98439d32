import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { IsBoolean, IsIn, IsOptional, IsString, Matches, MaxLength, MinLength } from 'class-validator';
import { API_TIME } from '../api.doc.js';
import { IsTime } from '../iso-time.js';
import { ADMIN_ROLES, type AdminRole } from '../min-role.js';

const ROLE = {
  enum: ADMIN_ROLES,
  description: '`viewer` reads, `operator` also changes refunds, `admin` also settings, users and tokens',
  example: 'operator',
} as const;
const TOKEN_NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/;
const USER_NAME = /^[a-z0-9][a-z0-9._@-]{0,63}$/;
const nameMessage = { message: 'must be 1 to 64 letters, digits, . _ @ and -, beginning with a letter or digit' };
export const MIN_PASSWORD_LENGTH = 12;
export const MAX_PASSWORD_LENGTH = 256;
const PASSWORD = { minLength: MIN_PASSWORD_LENGTH, maxLength: MAX_PASSWORD_LENGTH, example: 'correct horse battery' };
const TIME = API_TIME;

/** Names are compared without case. */
const lowerCase = ({ value }: { value: unknown }): unknown =>
  typeof value === 'string' ? value.trim().toLowerCase() : value;

export class CreateTokenDto {
  @ApiProperty({ description: 'Unique; the audit says `token:<name>`', example: 'nightly-import' })
  @Matches(TOKEN_NAME, nameMessage)
  name: string;

  @ApiProperty(ROLE)
  @IsIn(ADMIN_ROLES)
  role: AdminRole;

  @ApiPropertyOptional({
    ...TIME,
    description: 'When it ends by itself; left out: never',
    example: '2036-01-01T00:00:00Z',
  })
  @IsOptional()
  @IsTime()
  expiresAt?: Date;
}

export class TokenView {
  @ApiProperty({ description: 'Id of the token', example: '2124609641629716480' })
  id: string;

  @ApiProperty({ description: 'Unique, also among revoked ones', example: 'nightly-import' })
  name: string;

  @ApiProperty(ROLE)
  role: AdminRole;

  @ApiProperty({ description: 'How the token begins', example: 'rs_x3Fq' })
  hint: string;

  @ApiProperty({ description: 'Who made it', example: 'bootstrap' })
  createdBy: string;

  @ApiProperty({ ...TIME, description: 'When it was made' })
  createdAt: Date;

  @ApiProperty({ ...TIME, nullable: true, description: 'When it ends by itself; null: never' })
  expiresAt: Date | null;

  @ApiProperty({ ...TIME, nullable: true, description: 'When it was revoked; null: it was not' })
  revokedAt: Date | null;

  @ApiProperty({ ...TIME, nullable: true, description: 'To the minute; null: never used' })
  lastUsedAt: Date | null;
}

export class CreatedTokenView extends TokenView {
  @ApiProperty({
    description: 'The token, shown this once: only its hash is kept',
    example: 'rs_x3FqX0P2bq8m1uJ4v5Zk7cR9tW6yL0aSdFgHjKlQwEr',
  })
  token: string;
}

export class CreateUserDto {
  @ApiProperty({ description: 'Unique, without case; the audit says `user:<name>`', example: 'alice' })
  @Transform(lowerCase)
  @Matches(USER_NAME, nameMessage)
  name: string;

  @ApiProperty(ROLE)
  @IsIn(ADMIN_ROLES)
  role: AdminRole;

  @ApiProperty({ ...PASSWORD, description: 'Kept as a scrypt hash' })
  @IsString()
  @MinLength(MIN_PASSWORD_LENGTH)
  @MaxLength(MAX_PASSWORD_LENGTH)
  password: string;
}

export class ChangeUserDto {
  @ApiPropertyOptional(ROLE)
  @IsOptional()
  @IsIn(ADMIN_ROLES)
  role?: AdminRole;

  @ApiPropertyOptional({ description: 'false: may not log in, and every session ends at once', example: true })
  @IsOptional()
  @IsBoolean()
  enabled?: boolean;

  @ApiPropertyOptional({ ...PASSWORD, description: 'A new password; every session of the user ends' })
  @IsOptional()
  @IsString()
  @MinLength(MIN_PASSWORD_LENGTH)
  @MaxLength(MAX_PASSWORD_LENGTH)
  password?: string;
}

export class UserView {
  @ApiProperty({ description: 'Id of the user', example: '2124609641629716480' })
  id: string;

  @ApiProperty({ description: 'Lower case', example: 'alice' })
  name: string;

  @ApiProperty(ROLE)
  role: AdminRole;

  @ApiProperty({ description: 'false: may not log in', example: true })
  enabled: boolean;

  @ApiProperty({ ...TIME, description: 'When the user was made' })
  createdAt: Date;

  @ApiProperty({ ...TIME, description: 'When anything of the user last changed' })
  updatedAt: Date;

  @ApiProperty({ ...TIME, description: 'When the password last changed' })
  passwordChangedAt: Date;
}

export class LoginDto {
  @ApiProperty({ description: 'Name of the user, in any case', example: 'alice' })
  @Transform(lowerCase)
  @IsString()
  @MaxLength(MAX_PASSWORD_LENGTH)
  name: string;

  @ApiProperty({ description: 'Password of the user', example: 'correct horse battery' })
  @IsString()
  @MaxLength(MAX_PASSWORD_LENGTH)
  password: string;
}

export class ChangePasswordDto {
  @ApiProperty({ description: 'The password as it is', example: 'correct horse battery' })
  @IsString()
  @MaxLength(MAX_PASSWORD_LENGTH)
  currentPassword: string;

  @ApiProperty({ ...PASSWORD, description: 'The password as it shall be', example: 'a different long text' })
  @IsString()
  @MinLength(MIN_PASSWORD_LENGTH)
  @MaxLength(MAX_PASSWORD_LENGTH)
  newPassword: string;
}

export class SessionView {
  @ApiProperty({ description: 'As the audit says it', example: 'user:alice' })
  actor: string;

  @ApiProperty(ROLE)
  role: AdminRole;

  @ApiProperty({ ...TIME, nullable: true, description: 'When the session ends at the latest; null for a bearer token' })
  expiresAt: Date | null;
}
