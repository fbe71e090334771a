/** The characteristics, worst first: limits, values, deviation, the bar of the tolerance, and the verdict. */
import type { JSX } from 'preact';
import { formatCount, formatNumber, MISSING } from '../format.ts';
import { ruleText, VERDICT_INKS, VERDICT_WORDS, VerdictMark } from './verdict.tsx';
import { beyondLimits, decimalsOf, type InspectedRow, toleranceScale, valueOf } from './view.ts';

interface Props {
  readonly rows: readonly InspectedRow[];
  readonly chosen: string | null;
  readonly hrefOf: (characteristic: string) => string;
}

export function FeatureTable({ rows, chosen, hrefOf }: Props): JSX.Element {
  return (
    <table class="features">
      <thead>
        <tr>
          <th scope="col">Characteristic</th>
          <th scope="col">Verdict</th>
          <th scope="col">Nominal</th>
          <th scope="col">+Tol</th>
          <th scope="col">−Tol</th>
          <th scope="col">Measured</th>
          <th scope="col">Compensated</th>
          <th scope="col">Deviation</th>
          <th scope="col">Out by</th>
          <th scope="col">Share of the tolerance</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((inspected) => (
          <Row
            key={inspected.row.characteristic}
            inspected={inspected}
            isChosen={inspected.row.characteristic === chosen}
            href={hrefOf(inspected.row.characteristic)}
          />
        ))}
      </tbody>
    </table>
  );
}

function Row({ inspected, isChosen, href }: { inspected: InspectedRow; isChosen: boolean; href: string }): JSX.Element {
  const { row, verdicts } = inspected;
  const decimals = decimalsOf(row.unit);
  const { nominal_value: nominal, lower_limit: lower, upper_limit: upper } = row;
  const from = (limit: number | null): string => {
    if (limit === null) return MISSING;
    return nominal === null ? formatNumber(limit, decimals) : signed(limit - nominal, decimals);
  };
  return (
    <tr class={isChosen ? 'feature feature-chosen' : 'feature'} data-characteristic={row.characteristic}>
      <th scope="row">
        <a href={href} aria-current={isChosen ? 'true' : undefined}>
          {row.characteristic}
        </a>{' '}
        <span class="unit">{row.unit}</span>
        {verdicts === null ? null : <span class="feature-counts">{countsText(verdicts)}</span>}
      </th>
      <td data-label="Verdict" class="feature-verdict">
        <span class={VERDICT_INKS[row.verdict ?? 'none']}>
          <VerdictMark verdict={row.verdict} /> <strong>{VERDICT_WORDS[row.verdict ?? 'none']}</strong>
        </span>
        {ruleText(row) === null ? null : <span class="feature-rule">{ruleText(row)}</span>}
        {(row.distrust ?? []).map((reason) => (
          <span key={reason} class="feature-distrust">
            Not to be trusted: {reason}
          </span>
        ))}
      </td>
      <td data-label="Nominal">{formatNumber(nominal, decimals)}</td>
      <td data-label="+Tol">{from(upper)}</td>
      <td data-label="−Tol">{from(lower)}</td>
      <td data-label="Measured">{formatNumber(row.measured_value, decimals)}</td>
      <td data-label="Compensated">
        {formatNumber(row.compensated_value, decimals)}
        {row.expanded_uncertainty === null ? null : (
          <span class="feature-u">± {formatNumber(row.expanded_uncertainty, decimals)}</span>
        )}
      </td>
      <td data-label="Deviation">{nominal === null ? MISSING : signed(valueOf(row) - nominal, decimals)}</td>
      <td data-label="Out by" class={beyondLimits(row) === null ? undefined : 'feature-out'}>
        {formatNumber(beyondLimits(row), decimals)}
      </td>
      <td class="feature-bar" data-label="Share of the tolerance">
        <ToleranceBar inspected={inspected} />
      </td>
    </tr>
  );
}

/** A sign always, but for zero. */
export function signed(value: number, decimals: number): string {
  const text = formatNumber(value, decimals);
  return value > 0 && Number(text) !== 0 ? `+${text}` : text;
}

function countsText({ conform, nonconform, indeterminate, none }: NonNullable<InspectedRow['verdicts']>): string {
  const judged = conform + nonconform + indeterminate;
  if (judged === 0) return `${formatCount(none)} measured`;
  return `${formatCount(conform)} of ${formatCount(judged + none)} conform`;
}

const WIDTH = 172;
const HEIGHT = 26;
/** The bar goes beyond the limits by a quarter; what is farther out stands at its end. */
const REACH = 1.25;

const PERCENT_MAX = 1000;

/** Limits at ±100 %, marks at ±75 %, the guard bands hatched, the value with its U. */
function ToleranceBar({ inspected: { row, used } }: { inspected: InspectedRow }): JSX.Element {
  const scale = toleranceScale(row);
  if (scale === null || used === null) return <span class="muted">{MISSING}</span>;
  const x = (share: number): number => ((Math.max(-REACH, Math.min(REACH, share)) + REACH) / (2 * REACH)) * WIDTH;
  const uncertainty = (row.expanded_uncertainty ?? 0) / scale.half;
  const guard = (row.guard_band ?? 0) / scale.half;
  const percent = Math.round(used * 100);
  // Farther out the number would say no more, and be wider than the page.
  const words =
    Math.abs(percent) < PERCENT_MAX
      ? `${formatNumber(percent, 0)} %`
      : percent < 0
        ? `< −${PERCENT_MAX} %`
        : `> ${PERCENT_MAX} %`;
  const hasLower = row.lower_limit !== null;
  const hasUpper = row.upper_limit !== null;
  return (
    <span class="tolerance">
      <svg
        class={`tolerance-bar ${VERDICT_INKS[row.verdict ?? 'none']}`}
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        aria-hidden="true"
      >
        <rect class="tolerance-track" x={x(-1)} y="9" width={x(1) - x(-1)} height="8" />
        {guard > 0 && hasLower ? <Guard from={x(-1)} to={x(Math.min(0, guard - 1))} /> : null}
        {guard > 0 && hasUpper ? <Guard from={x(Math.max(0, 1 - guard))} to={x(1)} /> : null}
        <path class="tolerance-marks" d={`M${x(-0.75)} 9v8M${x(0.75)} 9v8M${x(0)} 9v8`} />
        <path class="tolerance-limits" d={`${hasLower ? `M${x(-1)} 4v18` : ''}${hasUpper ? `M${x(1)} 4v18` : ''}`} />
        {uncertainty > 0 ? (
          <path
            class="tolerance-u"
            d={`M${x(used - uncertainty)} 13H${x(used + uncertainty)}M${x(used - uncertainty)} 9.5v7M${x(used + uncertainty)} 9.5v7`}
          />
        ) : null}
        <Value at={x(used)} beyond={Math.abs(used) > REACH ? Math.sign(used) : 0} />
      </svg>
      <span class="tolerance-words">{words}</span>
    </span>
  );
}

function Guard({ from, to }: { from: number; to: number }): JSX.Element {
  return <rect class="tolerance-guard" x={from} y="9" width={Math.max(0, to - from)} height="8" />;
}

/** A diamond, or an arrow at the end of the bar. */
function Value({ at, beyond }: { at: number; beyond: number }): JSX.Element {
  if (beyond > 0) return <path class="tolerance-value" d={`M${at} 13l-9-6v12z`} />;
  if (beyond < 0) return <path class="tolerance-value" d={`M${at} 13l9-6v12z`} />;
  return <path class="tolerance-value" d={`M${at} 6.5l6 6.5-6 6.5-6-6.5z`} />;
}
