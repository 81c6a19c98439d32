import { InitialSchema1795305600000 } from './1795305600000-initial-schema.js';

/** In the order in which they run. A migration that was released is never changed. */
export const MIGRATIONS = [InitialSchema1795305600000];
