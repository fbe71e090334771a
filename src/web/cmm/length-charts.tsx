/**
 * Measured and compensated length with its U, and the temperature below on the same axis of time: where the temperature
 * makes the measured length wave, the compensated one stays.
 */
import type { Signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import uPlot from 'uplot';
import type { CapabilityStudy, StudyPoint } from '../../model/api.ts';
import { timeLabels } from '../charts/plot.ts';
import { useShell } from '../context.ts';
import { formatNumber } from '../format.ts';
import { signed } from './feature-table.tsx';
import { clipped, dots, padded, Plot, type PlotStyle } from './plot.tsx';
import { decimalsOf } from './view.ts';

const LENGTH_PX = 240;
const TEMPERATURE_PX = 124;
/** A pause of so many usual steps is a gap in the lines. */
const GAP_STEPS = 10;
/** Bars of U have caps where they stand at least so far apart, in pixels. */
const CAPS_PX = 6;

export interface StudyParts {
  readonly study: CapabilityStudy;
  readonly cursorAt: Signal<number | null>;
}

/** What lengths are counted from in the charts: the newest nominal value, or else nothing. */
export function originOf(study: CapabilityStudy): number {
  return study.specifications.at(-1)?.nominal_value ?? 0;
}

export function LengthCharts({ study, cursorAt }: StudyParts): JSX.Element {
  const { store } = useShell();
  const plant = store.plant.value;
  const { points } = study;
  const origin = originOf(study);
  const decimals = decimalsOf(study.unit);
  const lengths = useMemo((): uPlot.AlignedData => {
    const from = (value: number | null): number | null => (value === null ? null : value - origin);
    return [
      points.map(({ time }) => Date.parse(time)),
      points.map(({ measured_value }) => from(measured_value)),
      points.map(({ compensated_value }) => from(compensated_value)),
    ];
  }, [study]);
  const temperatures = useMemo(
    (): uPlot.AlignedData => [lengths[0], points.map(({ temperature_c }) => temperature_c)],
    [study],
  );
  const times = lengths[0] as number[];
  const x: uPlot.Scale = { time: true, range: () => spanOf(times) };
  const xValues = (splits: number[], step: number): string[] => timeLabels(plant, splits, step);
  const line = (stroke: string, width: number): uPlot.Series => ({
    stroke,
    width,
    gaps: breakLines,
    points: dots(stroke),
  });
  return (
    <>
      <Legend study={study} cursorAt={cursorAt} />
      <Plot
        summary={summaryOf(study)}
        heightPx={LENGTH_PX}
        data={lengths}
        cursorAt={cursorAt}
        options={(style) => ({
          scales: { x, y: { range: () => padded(extentOf(points, origin), 4 * 10 ** -decimals) } },
          series: [{}, line(style.colour('--chart-6'), 1.25), line(style.colour('--chart-1'), 1.75)],
          xValues,
          yDecimals: decimals,
          drawBelow: (plot) => clipped(plot, () => drawUncertainty(plot, points, origin, style)),
        })}
      />
      <Plot
        summary={`Temperature of the part over the same time, ${rangeText(points.map(({ temperature_c }) => temperature_c))}`}
        heightPx={TEMPERATURE_PX}
        data={temperatures}
        cursorAt={cursorAt}
        options={(style) => ({
          scales: {
            x,
            y: {
              range: () =>
                padded(
                  points.map(({ temperature_c }) => temperature_c),
                  0.5,
                ),
            },
          },
          series: [{}, line(style.colour('--chart-4'), 1.5)],
          xValues,
          yDecimals: 1,
        })}
      />
    </>
  );
}

/** The values at the cursor, or else the newest. */
function Legend({ study, cursorAt }: StudyParts): JSX.Element {
  const { store } = useShell();
  const { points, unit } = study;
  const decimals = decimalsOf(unit);
  const at = cursorAt.value;
  const point = points[at ?? points.length - 1];
  const origin = originOf(study);
  const item = (name: string, colour: number, value: JSX.Element | string): JSX.Element => (
    <li class="legend-item">
      <span class="legend-name">
        <span class="legend-line" style={`background: var(--chart-${colour})`} aria-hidden="true" />
        {name}
      </span>
      <span class="number">{value}</span>
    </li>
  );
  const uncertainty = point?.expanded_uncertainty ?? null;
  return (
    <div class="study-legend">
      <ul class="legend">
        {item('Measured', 6, `${formatNumber(point?.measured_value, decimals)} ${unit}`)}
        {item(
          'Compensated',
          1,
          `${formatNumber(point?.compensated_value, decimals)} ${unit}${
            uncertainty === null ? '' : ` ± ${formatNumber(uncertainty, decimals)} (U)`
          }`,
        )}
        {item('Temperature', 4, `${formatNumber(point?.temperature_c, 1)} °C`)}
      </ul>
      <p class="muted">
        {point === undefined
          ? null
          : `${at === null ? 'newest, ' : ''}${store.plant.value.near(Date.parse(point.time), store.nowMs.value)}${
              point.serial_number === null ? '' : ` · ${point.serial_number}`
            }`}
        {origin === 0 ? null : ` · drawn as deviation from ${formatNumber(origin, decimals)} ${unit}`}
        {(point?.distrust ?? []).map((reason) => (
          <span key={reason} class="feature-distrust">
            Not to be trusted: {reason}
          </span>
        ))}
      </p>
    </div>
  );
}

function spanOf(times: readonly number[]): [number, number] {
  const [first = 0, last = 0] = [times[0], times.at(-1)];
  const padding = Math.max(500, (last - first) * 0.01);
  return [first - padding, last + padding];
}

function extentOf(points: readonly StudyPoint[], origin: number): (number | null)[] {
  return points.flatMap(({ measured_value, compensated_value, expanded_uncertainty }) => {
    if (compensated_value === null) return [measured_value - origin];
    const uncertainty = expanded_uncertainty ?? 0;
    const deviation = compensated_value - origin;
    return [measured_value - origin, deviation - uncertainty, deviation + uncertainty];
  });
}

/** Lines end where nothing was measured for long. */
const breakLines: uPlot.Series.GapsRefiner = (plot, _series, from, to, nullGaps) => {
  const times = plot.data[0];
  const steps = times.slice(1).map((time, index) => time - (times[index] ?? time));
  const usual = steps.sort((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 0;
  const gaps = [...nullGaps];
  for (let at = from + 1; at <= to; at++) {
    const [before, after] = [times[at - 1] ?? 0, times[at] ?? 0];
    if (usual <= 0 || after - before <= GAP_STEPS * usual) continue;
    gaps.push([Math.round(plot.valToPos(before, 'x', true)), Math.round(plot.valToPos(after, 'x', true))]);
  }
  return gaps.sort((a, b) => a[0] - b[0]);
};

function drawUncertainty(plot: uPlot, points: readonly StudyPoint[], origin: number, { colour }: PlotStyle): void {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  const cap = bbox.width / points.length >= CAPS_PX * ratio ? 2.5 * ratio : 0;
  ctx.strokeStyle = colour('--chart-1');
  ctx.globalAlpha = 0.45;
  ctx.lineWidth = ratio;
  ctx.beginPath();
  for (const { time, compensated_value: value, expanded_uncertainty: uncertainty } of points) {
    if (value === null || uncertainty === null) continue;
    const x = plot.valToPos(Date.parse(time), 'x', true);
    const [low, high] = [-uncertainty, uncertainty].map((side) => plot.valToPos(value - origin + side, 'y', true));
    if (low === undefined || high === undefined) continue;
    ctx.moveTo(x, low);
    ctx.lineTo(x, high);
    for (const end of cap > 0 ? [low, high] : []) {
      ctx.moveTo(x - cap, end);
      ctx.lineTo(x + cap, end);
    }
  }
  ctx.stroke();
}

function summaryOf({ points, unit, specifications }: CapabilityStudy): string {
  const nominal = specifications.at(-1)?.nominal_value ?? null;
  const decimals = decimalsOf(unit);
  const spread = (values: readonly (number | null)[]): string => {
    const known = values.filter((value) => value !== null);
    if (known.length === 0) return 'not known';
    const [least, greatest] = [Math.min(...known), Math.max(...known)];
    if (nominal === null) return `${formatNumber(least, decimals)} to ${formatNumber(greatest, decimals)} ${unit}`;
    return `${signed(least - nominal, decimals)} to ${signed(greatest - nominal, decimals)} ${unit} from the nominal value`;
  };
  const measured = spread(points.map(({ measured_value }) => measured_value));
  const compensated = spread(points.map(({ compensated_value }) => compensated_value));
  return `Chart of ${points.length} values over time. Measured ${measured}; compensated ${compensated}`;
}

function rangeText(values: readonly (number | null)[]): string {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return 'not known';
  return `${formatNumber(Math.min(...known), 1)} to ${formatNumber(Math.max(...known), 1)} °C`;
}
