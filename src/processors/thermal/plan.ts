/** What is to be corrected, so that nothing is ever compensated twice. */
import type { Compensation } from '../../model/reading.ts';

export const CORRECT = ['part', 'scale_and_part'] as const;
export type Correct = (typeof CORRECT)[number];

export interface Plan {
  readonly part: boolean;
  readonly scale: boolean;
}

export interface Statements {
  /** By the configuration, on what the source has compensated. */
  readonly configured: Compensation | null;
  /** By the measurement, on the same. */
  readonly measured: Compensation | undefined;
  readonly correct: Correct | null;
}

const DONE = {
  none: 'nothing',
  scale: 'the expansion of the scale',
  full: 'the expansion of scale and part',
} as const satisfies Record<Compensation, string>;

const LEFT = {
  none: { part: true, scale: true },
  scale: { part: true, scale: false },
  full: { part: false, scale: false },
} as const satisfies Record<Compensation, Plan>;

/** The plan, or the sentence that says why there is none and nothing is corrected. */
export function planOf({ configured, measured, correct }: Statements): Plan | string {
  if (measured !== undefined && configured !== null && measured !== configured) {
    return `the measurement says that ${DONE[measured]} is compensated, the configuration says ${DONE[configured]}: not corrected`;
  }
  const done = measured ?? configured;
  if (done === null) return 'nobody says what the source has compensated already: not corrected';
  const left = LEFT[done];
  if (correct === null || (left.part && left.scale === (correct === 'scale_and_part'))) return left;
  const asked = correct === 'part' ? 'the part alone' : 'scale and part';
  return `correcting ${asked} is asked for, where the source has compensated ${DONE[done]}: not corrected`;
}
