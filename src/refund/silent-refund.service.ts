import { Injectable } from '@nestjs/common';
import { Db } from '../database/db.js';

/** As in the migration that made the index: SQLite uses a partial index for the very condition that it was made with. */
const SILENT = "status NOT IN ('success','fail','close','review') AND (nextSyncAt IS NULL OR gatewayAccountId IS NULL)";

/**
 * The never-silent rule: a refund that is not at its end has a next look that somebody will take, or is a case. These are the refunds that
 * break it. There are none, always; one is an alert.
 */
@Injectable()
export class SilentRefunds {
  constructor(private readonly db: Db) {}

  /** Answered by an index that holds nothing else, at any number of refunds. */
  async count(): Promise<number> {
    const condition = this.db.isMysql ? 'silent = 1' : SILENT;
    const [row]: { silent: number | string }[] = await this.db.read((manager) =>
      manager.query(`SELECT COUNT(*) AS silent FROM refund WHERE ${condition}`),
    );
    return Number(row?.silent ?? 0);
  }
}
