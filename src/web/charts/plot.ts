/** One uPlot chart: its options, its colours, and the time axis in the plant's zone. */
import uPlot from 'uplot';
import { formatNumber, type PlantTime } from '../format.ts';
import type { TimeWindow } from '../view.ts';

export interface PlotSignal {
  readonly name: string;
  readonly decimals: number;
  /** Which of the chart colours, from 0. */
  readonly colour: number;
}

export interface PlotSetup {
  readonly signals: readonly PlotSignal[];
  /** Charts of one group move their cursors together. */
  readonly group: string;
  readonly plant: PlantTime;
  readonly stepped: boolean;
  readonly size: { readonly width: number; readonly height: number };
  readonly window: () => TimeWindow;
  readonly onZoom: (window: TimeWindow) => void;
  readonly onBack: () => void;
  /** The instant under the cursor, in ms; null when there is none. */
  readonly onCursor: (timeMs: number | null) => void;
}

/** Width of the axis of values, in pixels: the same in all charts and in the state band, so that times stand in line. */
export const AXIS_PX = 56;
export const RIGHT_PX = 12;
/** A drag shorter than this is a click. */
const DRAG_PX_MIN = 6;
export const CHART_COLOURS = 6;
const DECIMALS_MAX = 6;

export function plotOptions(setup: PlotSetup, host: HTMLElement): uPlot.Options {
  const style = getComputedStyle(host);
  const colour = (name: string): string => style.getPropertyValue(name).trim();
  const font = `12px ${style.fontFamily}`;
  const axis = {
    stroke: colour('--muted'),
    font,
    grid: { stroke: colour('--chart-grid'), width: 1 },
    ticks: { show: false },
  };
  return {
    ...setup.size,
    ms: 1,
    tzDate: (ms) => uPlot.tzDate(new Date(ms), setup.plant.zone),
    fmtDate: () => (date) => setup.plant.dateTime(date.getTime()),
    padding: [8, RIGHT_PX, 0, 0],
    legend: { show: false },
    scales: {
      x: { time: true, range: () => [setup.window().fromMs, setup.window().toMs] },
      y: { range: (_plot, min, max) => valueRange(setup.signals, min, max) },
    },
    axes: [
      {
        ...axis,
        size: 26,
        gap: 6,
        space: 84,
        values: (_plot, splits, _axis, _space, step) => timeLabels(setup.plant, splits, step),
      },
      {
        ...axis,
        size: AXIS_PX,
        gap: 6,
        space: 34,
        values: (_plot, splits, _axis, _space, step) => valueLabels(splits, step),
      },
    ],
    series: [{}, ...setup.signals.flatMap((signal) => seriesOf(signal, setup.stepped, colour))],
    bands: setup.signals.map((signal, at) => ({
      series: [1 + at * 3, 2 + at * 3],
      fill: `color-mix(in srgb, ${colour(`--chart-${signal.colour + 1}`)} 24%, transparent)`,
    })),
    cursor: {
      y: false,
      points: { show: false },
      sync: { key: setup.group, scales: ['x', null] },
      drag: { x: true, y: false, setScale: false },
      bind: {
        dblclick: () => () => {
          setup.onBack();
          return null;
        },
      },
    },
    hooks: {
      setSelect: [(plot) => zoomToSelection(plot, setup.onZoom)],
      setCursor: [
        (plot) => {
          const { left } = plot.cursor;
          setup.onCursor(left === undefined || left < 0 ? null : plot.posToVal(left, 'x'));
        },
      ],
    },
  };
}

/** Band of extremes (max, min) without lines, and the line of the last values. */
function seriesOf(signal: PlotSignal, stepped: boolean, colour: (name: string) => string): uPlot.Series[] {
  const line = colour(`--chart-${signal.colour + 1}`);
  const paths = stepped ? uPlot.paths.stepped?.({ align: 1 }) : uPlot.paths.linear?.();
  const shared = { ...(paths === undefined ? {} : { paths }), points: { show: false } };
  const extreme = { ...shared, label: `${signal.name} extreme`, stroke: 'transparent', width: 0 };
  return [extreme, extreme, { ...shared, points: pointsAlone(line), label: signal.name, stroke: line, width: 1.5 }];
}

/** A sample between two gaps has no line: it is shown as a dot. */
function pointsAlone(line: string): uPlot.Series.Points {
  return {
    show: true,
    size: 4,
    fill: line,
    width: 0,
    filter: (plot, series) => {
      const values = plot.data[series] ?? [];
      const alone: number[] = [];
      let previous: number | null = null;
      for (let at = 0; at < values.length; at++) {
        if (typeof values[at] !== 'number') {
          if (values[at] === null) previous = null;
          continue;
        }
        let next = at + 1;
        while (next < values.length && values[next] === undefined) next++;
        if (previous === null && typeof values[next] !== 'number') alone.push(at);
        previous = at;
      }
      return alone;
    },
  };
}

function zoomToSelection(plot: uPlot, onZoom: (window: TimeWindow) => void): void {
  const { left, width } = plot.select;
  if (width === 0) return;
  const window = { fromMs: plot.posToVal(left, 'x'), toMs: plot.posToVal(left + width, 'x') };
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  if (width >= DRAG_PX_MIN) onZoom(window);
}

/** Of the largest value: with a narrower span the marks of an axis would fall on one number, and there would be no end of them. */
export const LEAST_SPAN_SHARE = 1e-9;

/** Load stands on 0–150 %, overrides on 0–200 %; all else is padded, with a span that keeps noise small. */
export function valueRange(
  signals: readonly PlotSignal[],
  min: number | null,
  max: number | null,
): [min: number, max: number] {
  const fixedMax = signals.some(({ name }) => name.includes('override')) ? 200 : 150;
  if (signals.every(({ name }) => /load|override/.test(name)))
    return [Math.min(0, min ?? 0), Math.max(fixedMax, max ?? 0)];
  if (min === null || max === null) return [0, 1];
  const decimals = Math.min(...signals.map((signal) => signal.decimals));
  const leastSpan = Math.max(20 * 10 ** -decimals, LEAST_SPAN_SHARE * Math.max(Math.abs(min), Math.abs(max)));
  const missing = Math.max(0, leastSpan - (max - min)) / 2;
  const padding = (max - min) * 0.08;
  const low = min - missing - padding;
  // A quantity that is never negative does not get room below zero.
  return [min >= 0 ? Math.max(0, low) : low, max + missing + padding + Math.max(0, min >= 0 ? -low : 0)];
}

function valueLabels(splits: number[], step: number): string[] {
  let decimals = 0;
  // As many as the step itself needs: 2.5 needs one.
  while (decimals < DECIMALS_MAX && Math.abs(step * 10 ** decimals - Math.round(step * 10 ** decimals)) > 1e-6)
    decimals++;
  return splits.map((value) => formatNumber(value, decimals));
}

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** Clock times; at midnight of the plant, and where a step is a day or more, dates. */
export function timeLabels(plant: PlantTime, splits: readonly number[], stepMs: number): string[] {
  return splits.map((ms) => {
    const time = plant.time(ms);
    if (stepMs >= DAY_MS || time === '00:00:00') return plant.date(ms);
    return stepMs < MINUTE_MS ? time : time.slice(0, 5);
  });
}
