/** The individuals and the moving-range chart, and in words what in them is no chance. */
import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import type uPlot from 'uplot';
import type { CapabilityStudy } from '../../model/api.ts';
import { useShell } from '../context.ts';
import { formatCount, formatNumber } from '../format.ts';
import { originOf, type StudyParts } from './length-charts.tsx';
import { clipped, dots, drawLevels, padded, Plot, type PlotStyle } from './plot.tsx';
import { decimalsOf } from './view.ts';

const INDIVIDUALS_PX = 220;
const RANGES_PX = 124;
/** With more marked points than this their rules' numbers would lie on one another. */
const NUMBERED_MAX = 40;

export function ControlCharts({ study, cursorAt }: StudyParts): JSX.Element {
  const { store } = useShell();
  const { points, control, unit } = study;
  const origin = originOf(study);
  const decimals = decimalsOf(unit);
  const numbers = useMemo(() => points.map((_, index) => index + 1), [study]);
  const values = useMemo((): uPlot.AlignedData => [numbers, points.map(({ value }) => value - origin)], [study]);
  const ranges = useMemo((): uPlot.AlignedData => [numbers, points.map(({ moving_range }) => moving_range)], [study]);
  const plant = store.plant.value;
  const x: uPlot.Scale = { time: false, range: () => [0.5, points.length + 0.5] };
  const xValues = (splits: number[]): string[] =>
    splits.map((number) => {
      const point = points[number - 1];
      return point === undefined ? '' : plant.time(Date.parse(point.time));
    });
  const series = (style: PlotStyle, colour: string): uPlot.Series[] => [
    {},
    {
      stroke: style.colour(colour),
      width: 1.25,
      points: dots(style.colour(colour)),
    },
  ];
  const levels = control === null ? [] : [control.lower - origin, control.centre - origin, control.upper - origin];
  const flagged = points.flatMap(({ rules, value }, index) =>
    rules.length === 0 ? [] : [{ at: index + 1, value: value - origin, text: rules.join(',') }],
  );
  const wide =
    control === null
      ? []
      : points.flatMap(({ moving_range }, index) =>
          moving_range === null || moving_range <= control.range_upper
            ? []
            : [{ at: index + 1, value: moving_range, text: '' }],
        );
  return (
    <>
      <p class="study-legend study-limits">{control === null ? study.control_reason : <Limits study={study} />}</p>
      <Plot
        summary={`Individuals chart of ${points.length} values; ${flagged.length} complete a pattern that is no chance`}
        heightPx={INDIVIDUALS_PX}
        data={values}
        cursorAt={cursorAt}
        options={(style) => ({
          scales: { x, y: { range: () => padded([...levels, ...(values[1] as number[])], 4 * 10 ** -decimals) } },
          series: series(style, '--chart-1'),
          xValues,
          yDecimals: decimals,
          drawBelow: (plot) => {
            clipped(plot, () => drawBaseline(plot, study, style));
            const [lower, centre, upper] = levels;
            if (lower === undefined || centre === undefined || upper === undefined) return;
            drawLevels(
              plot,
              [
                { value: upper, label: 'UCL', dashed: true },
                { value: centre, label: 'x̄', dashed: false },
                { value: lower, label: 'LCL', dashed: true },
              ],
              style,
            );
          },
          draw: (plot) => clipped(plot, () => drawFlags(plot, flagged, style)),
        })}
      />
      <Plot
        summary={`Moving ranges; ${wide.length} are above their limit`}
        heightPx={RANGES_PX}
        data={ranges}
        cursorAt={cursorAt}
        options={(style) => ({
          scales: {
            x,
            y: {
              range: () => {
                const all = [0, control?.range_upper ?? 0, ...(ranges[1] as (number | null)[])];
                return [0, padded(all, 4 * 10 ** -decimals)[1]];
              },
            },
          },
          series: series(style, '--chart-5'),
          xValues,
          yDecimals: decimals,
          drawBelow: (plot) => {
            if (control === null) return;
            drawLevels(
              plot,
              [
                { value: control.range_upper, label: 'UCL', dashed: true },
                { value: control.range_centre, label: 'M̄R', dashed: false },
              ],
              style,
            );
          },
          draw: (plot) => clipped(plot, () => drawFlags(plot, wide, style)),
        })}
      />
    </>
  );
}

function Limits({ study: { control, unit } }: { study: CapabilityStudy }): JSX.Element | null {
  const decimals = decimalsOf(unit);
  if (control === null) return null;
  return (
    <>
      <span>
        x̄{' '}
        <span class="number" data-spc="centre">
          {formatNumber(control.centre, decimals)}
        </span>
      </span>
      <span>
        LCL{' '}
        <span class="number" data-spc="lower">
          {formatNumber(control.lower, decimals)}
        </span>
      </span>
      <span>
        UCL{' '}
        <span class="number" data-spc="upper">
          {formatNumber(control.upper, decimals)}
        </span>
      </span>
      <span>
        M̄R{' '}
        <span class="number" data-spc="range_centre">
          {formatNumber(control.range_centre, decimals)}
        </span>
      </span>
      <span>
        UCL of ranges{' '}
        <span class="number" data-spc="range_upper">
          {formatNumber(control.range_upper, decimals)}
        </span>
      </span>
      <span class="unit">{unit}</span>
    </>
  );
}

interface RulesProps {
  readonly study: CapabilityStudy;
  readonly since: string | null;
  readonly onSince: (since: string | null) => void;
}

/** Which of Nelson's rules are met, and where the limits come from. */
export function RulesInWords({ study, since, onSince }: RulesProps): JSX.Element {
  const { store } = useShell();
  const { points, control, rules_met: met } = study;
  const nowMs = store.nowMs.value;
  const when = (time: string): string => store.plant.value.near(Date.parse(time), nowMs);
  return (
    <div class="rules">
      {met.length === 0 ? (
        <p class="rule-none">
          {control === null ? 'Without limits no pattern can be told from chance.' : 'None of Nelson’s rules is met.'}
        </p>
      ) : (
        <ul>
          {met.map(({ rule, text, points: count }) => {
            const last = points.findLast(({ rules }) => rules.includes(rule));
            const serial = last?.serial_number ?? null;
            return (
              <li key={rule} class="rule" data-rule={rule}>
                <span class="rule-number ink-hold">Rule {rule}</span>
                <span>{text}</span>
                <span class="muted">
                  {formatCount(count)} {count === 1 ? 'value' : 'values'}
                  {last === undefined ? '' : `, last ${when(last.time)}`}
                  {serial === null ? '' : ` (${serial})`}
                </span>
              </li>
            );
          })}
        </ul>
      )}
      {control === null ? null : (
        <p class="baseline">
          <span class="muted">
            Limits from the first {control.baseline} values{since === null ? ' stored' : ''},{' '}
            {when(control.baseline_start)} to {when(control.baseline_end)}; later values do not move them.
          </span>
          {since === null ? (
            <button type="button" class="button" onClick={() => onSince(points[0]?.time ?? null)}>
              Limits from the first values shown
            </button>
          ) : (
            <button type="button" class="button" onClick={() => onSince(null)}>
              Limits from the first values stored
            </button>
          )}
        </p>
      )}
    </div>
  );
}

/** The values that gave the limits, where they are among those shown. */
function drawBaseline(plot: uPlot, { points, control }: CapabilityStudy, { colour }: PlotStyle): void {
  if (control === null) return;
  const inside = points.filter(({ time }) => time >= control.baseline_start && time <= control.baseline_end).length;
  if (inside === 0) return;
  const { ctx, bbox } = plot;
  ctx.fillStyle = colour('--raised');
  const end = plot.valToPos(inside + 0.5, 'x', true);
  ctx.fillRect(bbox.left, bbox.top, end - bbox.left, bbox.height);
}

interface Flag {
  readonly at: number;
  readonly value: number;
  readonly text: string;
}

/** Diamonds, and above each the numbers of its rules. */
function drawFlags(plot: uPlot, flags: readonly Flag[], { colour, font }: PlotStyle): void {
  const { ctx } = plot;
  const ratio = devicePixelRatio;
  const size = 4.5 * ratio;
  ctx.fillStyle = colour('--ink-hold');
  ctx.font = font.replace(/^\d+/, String(11 * ratio));
  ctx.textAlign = 'center';
  ctx.textBaseline = 'bottom';
  for (const { at, value, text } of flags) {
    const [x, y] = [plot.valToPos(at, 'x', true), plot.valToPos(value, 'y', true)];
    ctx.beginPath();
    ctx.moveTo(x, y - size);
    ctx.lineTo(x + size, y);
    ctx.lineTo(x, y + size);
    ctx.lineTo(x - size, y);
    ctx.fill();
    if (flags.length <= NUMBERED_MAX) ctx.fillText(text, x, y - size - ratio);
  }
}
