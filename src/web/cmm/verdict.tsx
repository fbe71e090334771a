/** A verdict: by its shape, its colour and its words. */
import type { JSX } from 'preact';
import type { MeasurementRow } from '../../model/api.ts';
import type { Verdict } from '../../model/reading.ts';
import { formatNumber } from '../format.ts';
import { decimalsOf, RULE_NAMES } from './view.ts';

export const VERDICT_WORDS: { readonly [verdict in Verdict | 'none']: string } = {
  conform: 'Conforms',
  nonconform: 'Does not conform',
  indeterminate: 'Undecided',
  none: 'Not judged',
};

export const VERDICT_INKS: { readonly [verdict in Verdict | 'none']: string } = {
  conform: 'ink-running',
  nonconform: 'ink-alarm',
  indeterminate: 'ink-hold',
  none: 'ink-unknown',
};

export function VerdictMark({ verdict }: { verdict: Verdict | null }): JSX.Element {
  return (
    <svg class="mark" viewBox="0 0 24 24" width="1em" height="1em" aria-hidden="true">
      {SHAPES[verdict ?? 'none']}
    </svg>
  );
}

const SHAPES: { readonly [verdict in Verdict | 'none']: JSX.Element } = {
  conform: (
    <>
      <circle class="solid" cx="12" cy="12" r="9.5" />
      <path class="sign" d="m7.5 12.5 3 3 6-6.5" />
    </>
  ),
  nonconform: (
    <>
      <path class="solid" d="M8 2h8l6 6v8l-6 6H8l-6-6V8z" />
      <path class="sign" d="m8.5 8.5 7 7m0-7-7 7" />
    </>
  ),
  indeterminate: (
    <>
      <path class="solid" d="M12 1.5 22.5 12 12 22.5 1.5 12z" />
      <path class="sign" d="M9.6 9.8a2.5 2.5 0 1 1 3.4 2.3c-.7.3-1 .8-1 1.5M12 16.4v.3" />
    </>
  ),
  none: <circle class="hollow dashed" cx="12" cy="12" r="9" />,
};

/** `ISO 14253-1, guard band 0.0026 mm, P 99.9 %`: how the verdict was found; null where nobody judged. */
export function ruleText(row: MeasurementRow): string | null {
  const parts = [
    row.decision_rule === null ? null : (RULE_NAMES[row.decision_rule] ?? row.decision_rule),
    row.guard_band === null || row.guard_band === 0
      ? null
      : `guard band ${formatNumber(row.guard_band, decimalsOf(row.unit))} ${row.unit}`,
    row.conformance_probability === null ? null : `P ${formatNumber(100 * row.conformance_probability, 1)} %`,
  ].filter((part) => part !== null);
  return parts.length === 0 ? null : parts.join(', ');
}
