/**
 * Work that belongs to a change and is done in its transaction, such as its entry in the audit: both are there or neither. It may run
 * again with the transaction. What it throws takes the change back.
 */
export type Alongside<Change> = (change: Change) => Promise<void>;

export const nothingAlongside = (): Promise<void> => Promise.resolve();
