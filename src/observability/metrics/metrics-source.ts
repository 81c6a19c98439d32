/** Metrics that are looked up when they are asked for, not counted as things happen. */
export interface MetricsSource {
  /** For the metric that counts failures. */
  readonly name: string;
  /** It is looked up so often at most, whoever asks how often. */
  readonly goodForMs: number;
  /** Looks up and sets. */
  refresh(): Promise<void>;
  /** Takes everything back: no value is better than an old one. */
  reset(): void;
}
